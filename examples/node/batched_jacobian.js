// A batched Jacobian without gradwire's client: a program written by hand, from
// the protos alone, for the network y = tanh(x·w) on a batch of inputs.
//
//   node batched_jacobian.js [HOST:PORT]     default: $GRADWIRE_TARGET, or 127.0.0.1:8701
'use strict';

const crypto = require('node:crypto');
const path = require('node:path');
const { promisify } = require('node:util');
const grpc = require('@grpc/grpc-js');
const protoLoader = require('@grpc/proto-loader');

const target = process.argv[2] || process.env.GRADWIRE_TARGET || '127.0.0.1:8701';
const [B, N, M] = [5, 3, 4]; // samples, inputs, outputs

const protos = protoLoader.loadSync(['gradwire/v1/service.proto', 'gradwire/v1/function.proto'], {
  includeDirs: [path.join(__dirname, '../../proto')],
  keepCase: true, enums: String, longs: Number, oneofs: true, defaults: true,
});

const float64 = (...shape) => ({ dtype: 'DTYPE_FLOAT64', shape });

// functions[0] is the network for the whole batch: w (N, M), x (B, N) -> y (B, M).
const network = {
  name: 'network',
  params: [{ id: 0, type: float64(N, M) }, { id: 1, type: float64(B, N) }],
  nodes: [
    { op: 'matmul', inputs: [1, 0], outputs: [2] },
    { op: 'tanh', inputs: [2], outputs: [3] },
  ],
  results: [3],
};

// functions[1] differentiates it: y (B, M) and, of each sample alone, dy/dx (B, M, N).
// w is a captured value, and x, the one argument, carries the batch on axis 0.
const entry = {
  name: 'entry',
  params: network.params,
  nodes: [{
    op: 'batched_jacobian',
    functions: [0],
    inputs: [0, 1],
    outputs: [2, 3],
    attrs: [ // sorted by name
      { name: 'mapped', value: { ints: { values: [1] } } },
      { name: 'num_captures', value: { i: 1 } },
    ],
  }],
  results: [2, 3],
};

const program = protos['gradwire.v1.Program'].serialize({
  opset: 1, functions: [network, entry], entry: 1, mapped: [false, false],
});

// Tensors travel in C order, little endian.
function encode(values, ...shape) {
  const data = Buffer.alloc(8 * values.length);
  values.forEach((value, i) => data.writeDoubleLE(value, 8 * i));
  return { tensor: { ...float64(...shape), data } };
}

function decode({ tensor, non_finite: nonFinite }, ...shape) {
  const type = { dtype: tensor.dtype, shape: tensor.shape };
  if (JSON.stringify(type) !== JSON.stringify(float64(...shape)) || nonFinite !== 0) {
    throw new Error(`wanted finite float64 (${shape}); got ${JSON.stringify(type)}, ${nonFinite}`);
  }
  return Array.from({ length: tensor.data.length / 8 }, (_, i) => tensor.data.readDoubleLE(8 * i));
}

// y = tanh(x·w), and dy_m/dx_n = (1 - y_m²) w_nm.
function closedForm(w, x) {
  const y = [];
  const jacobian = [];
  for (let b = 0; b < B; b += 1) {
    for (let m = 0; m < M; m += 1) {
      let sum = 0;
      for (let n = 0; n < N; n += 1) sum += x[b * N + n] * w[n * M + m];
      y.push(Math.tanh(sum));
      for (let n = 0; n < N; n += 1) jacobian.push((1 - Math.tanh(sum) ** 2) * w[n * M + m]);
    }
  }
  return [y, jacobian];
}

function largestError(got, wanted) {
  return Math.max(...wanted.map((value, i) => Math.abs(got[i] - value)));
}

async function main() {
  const { DerivativeService } = grpc.loadPackageDefinition(protos).gradwire.v1;
  const limit = 64 * 2 ** 20;
  const client = new DerivativeService(target, grpc.credentials.createInsecure(), {
    'grpc.max_receive_message_length': limit, 'grpc.max_send_message_length': limit,
  });
  const route = new grpc.Metadata(); // keeps a program on the server that compiled it
  route.set('gradwire-route', crypto.createHash('sha256').update(program).update('highest').digest('hex'));
  const call = (method, request, seconds) => promisify(client[method]).call(
    client,
    { context: { call_id: crypto.randomUUID(), client_version: 'node-example/0' }, ...request },
    route,
    { deadline: Date.now() + 1000 * seconds },
  );

  try {
    const { plan } = await call('Prepare', { program, precision: 'PRECISION_HIGHEST' }, 600);
    const types = plan.outputs.map(({ dtype, shape }) => `${dtype} (${shape})`);
    console.log(`plan ${plan.id}: ${types.join(', ')}`);
    for (const choice of plan.choices) {
      console.log(`functions[${choice.function}].nodes[${choice.node}]: ${choice.name} = ${choice.value}`);
    }

    const w = Array.from({ length: N * M }, (_, i) => Math.sin(i + 1));
    const x = Array.from({ length: B * N }, (_, i) => Math.cos(2 * i));
    const { outputs } = await call(
      'Compute', { plan_id: plan.id, inputs: [encode(w, N, M), encode(x, B, N)] }, 60,
    );
    const [y, jacobian] = [decode(outputs[0], B, M), decode(outputs[1], B, M, N)];

    console.log('Jacobian of sample 0:');
    for (let m = 0; m < M; m += 1) {
      console.log('  ', jacobian.slice(m * N, (m + 1) * N).map((v) => v.toFixed(6)).join('  '));
    }
    const [wantedY, wantedJacobian] = closedForm(w, x);
    const error = Math.max(largestError(y, wantedY), largestError(jacobian, wantedJacobian));
    console.log(`largest error against the closed form: ${error.toExponential(1)}`);
    if (!(error < 1e-12)) process.exitCode = 1; // NaN too
  } finally {
    client.close();
  }
}

main().catch((error) => {
  console.error(`${target}: ${error.message}`);
  process.exitCode = 1;
});
