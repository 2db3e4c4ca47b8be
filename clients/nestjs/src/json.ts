/**
 * A value as JSON. Throws for what JSON has no word for: `JSON.stringify` makes null of NaN and infinity, and a
 * number that is wrong would arrive as one that is missing.
 */
export function encoded(value: unknown): string {
  return JSON.stringify(value, (name, inner: unknown) => {
    if (typeof inner === 'number' && !Number.isFinite(inner)) {
      throw new TypeError(`${name} is ${inner}, for which JSON has no word`);
    }
    return inner;
  });
}
