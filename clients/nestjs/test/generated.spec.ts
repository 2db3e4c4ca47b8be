import { spawnSync } from 'node:child_process';
import { resolve } from 'node:path';

describe('src/generated/openapi.ts', () => {
  it('is what the service says of itself', () => {
    const script = resolve(__dirname, '../scripts/generate.mjs');
    const { status, stderr } = spawnSync(process.execPath, [script, '--check'], { encoding: 'utf8' });
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
  });
});
