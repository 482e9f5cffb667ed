"""Special functions, with derivatives of every order."""
