"""What every part of rkeras shares: tensors, variables, structures, names, scopes, the registry."""
