/**
 * Encode a value as JSON. Throws `TypeError` for NaN and infinity: `JSON.stringify` would turn these wrong
 * numbers into null, which means missing.
 */
export function encoded(value: unknown): string {
  return JSON.stringify(value, (name, inner: unknown) => {
    if (typeof inner === 'number' && !Number.isFinite(inner)) {
      throw new TypeError(`${name} is ${inner}, for which JSON has no word`);
    }
    return inner;
  });
}
