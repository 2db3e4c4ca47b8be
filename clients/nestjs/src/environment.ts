/** Return a variable's text. An empty one counts as unset: Compose files pass unset variables as empty. */
export function variable(environment: NodeJS.ProcessEnv, name: string): string | undefined {
  const text = environment[name]?.trim();
  return text === '' ? undefined : text;
}
