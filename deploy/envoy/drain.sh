#!/bin/bash
# Ends this Envoy without losing calls, from within its container: before Kubernetes
# sends SIGTERM (lifecycle.preStop), or by hand. Readiness fails at once, clients
# are told to connect elsewhere as they make calls, and no connection is taken
# after --drain-time-s; calls in flight go on. It returns when there are none, or
# after so many seconds.
#
# Envoy must run with --drain-strategy immediate and --drain-time-s below the
# seconds given here; by default it takes connections for ten minutes more.
# The image has bash and no curl; the admin interface takes POST.
set -Eeuo pipefail
trap 'echo "drain: status $? in line $LINENO: $BASH_COMMAND" >&2' ERR
seconds=${1:-60}
admin_port=${2:-9901}
calls_port=${3:-8700}

admin() {
  exec 3<>"/dev/tcp/127.0.0.1/$admin_port"
  printf '%s /%s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n' "$1" "$2" >&3
  cat <&3
  exec 3>&-
}

admin POST healthcheck/fail >/dev/null
admin POST 'drain_listeners?graceful' >/dev/null
while ((SECONDS < seconds)); do
  sleep 0.5
  # It takes no more connections after --drain-time-s.
  if ! (: <>"/dev/tcp/127.0.0.1/$calls_port") 2>/dev/null &&
    admin GET 'stats?filter=^http.calls.downstream_rq_active$' | grep 'active: 0' >/dev/null; then
    exit 0
  fi
done
echo "drain: calls are still in flight after $seconds s" >&2
exit 1
