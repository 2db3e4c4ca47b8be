import { spawnSync } from 'node:child_process';
import { resolve } from 'node:path';
import { stack } from './support/stack';

describe('src/generated/openapi.ts', () => {
  it('is what the running service says of itself', () => {
    const script = resolve(__dirname, '../scripts/generate.mjs');
    const { status, stderr } = spawnSync(process.execPath, [script, '--check', stack().url], {
      encoding: 'utf8',
    });
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
  });
});
