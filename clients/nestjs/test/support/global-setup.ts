import { type Stack, STACK_VARIABLE, startStack } from './stack';

declare global {
  var stack: Stack | undefined;
}

/** Start the service once for all tests, which find it in the environment. */
export default async function setUp(): Promise<void> {
  if (process.env[STACK_VARIABLE] !== undefined) {
    return; // one that runs already, as whoever writes tests may want it
  }
  globalThis.stack = await startStack();
  process.env[STACK_VARIABLE] = JSON.stringify(globalThis.stack.addresses);
}
