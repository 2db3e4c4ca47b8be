import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { HttpProxy } from '../support/http-proxy';
import { stack } from '../support/stack';

const run = promisify(execFile);
const TRACEPARENT = `00-${'a1'.repeat(16)}-${'b2'.repeat(8)}-01`;

it.each(['import', 'require'])('the built package, loaded by %s, finds OpenTelemetry', async (how) => {
  const { url, apiKey } = stack();
  const proxy = await HttpProxy.to(url);
  try {
    const program = [join(__dirname, 'traced.mjs'), how, proxy.url, apiKey, TRACEPARENT];
    const { stdout } = await run(process.execPath, program);
    expect(stdout).toBe('healthy');
    expect(proxy.seen.map(({ headers }) => headers.traceparent)).toEqual([TRACEPARENT]);
  } finally {
    await proxy.down();
  }
});
