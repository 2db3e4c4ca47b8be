import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { PredictionRequest, Reading } from '../../src';

/** A charger that no other test has. */
export function newCharger(): string {
  return `NEST-${randomBytes(6).toString('hex')}`;
}

/** A charger that is getting hot, and says since when it has been up. */
export function reading(chargerId: string, fields: Partial<Reading> = {}): Reading {
  return {
    charger_id: chargerId,
    connector_status: 'CHARGING',
    temperature: 71,
    power: 31,
    error_codes: ['HighTemperature'],
    timestamp: new Date(Date.now() - 60_000).toISOString(),
    ...fields,
  };
}

export function asked(chargerId: string, fields: Partial<Reading> = {}): PredictionRequest {
  return { charger_id: chargerId, metrics: reading(chargerId, fields) };
}

/** Ask until there is something; a failure of the test after 10 s. */
export async function eventually<T>(look: () => T | Promise<T>, timeoutMs = 10_000): Promise<NonNullable<T>> {
  const deadline = Date.now() + timeoutMs;
  for (;;) {
    const found = await look();
    if (found) {
      return found;
    }
    if (Date.now() > deadline) {
      throw new Error(`Waited ${timeoutMs} ms in vain for: ${look.toString()}`);
    }
    await sleep(20);
  }
}
