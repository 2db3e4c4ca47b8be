/** A variable's text; one that is set to nothing is not set, for that is how compose files leave one out. */
export function variable(environment: NodeJS.ProcessEnv, name: string): string | undefined {
  const text = environment[name]?.trim();
  return text === '' ? undefined : text;
}
