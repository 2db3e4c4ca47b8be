// Write src/generated/openapi.ts from the service's specification; with --check only say whether it would change.
import { execFileSync } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import openapiTS, { astToString } from 'openapi-typescript';

const FILE = new URL('../src/generated/openapi.ts', import.meta.url);
const HEAD =
  '// Written by `npm run generate` from the specification of the service: changes here are lost.\n\n';
const ROOT = fileURLToPath(new URL('../../../', import.meta.url));
// It has to be configured, but nobody will call it.
const SETTINGS = {
  ENVIRONMENT: 'test',
  ML_SERVICE_API_KEY: 'nobody-calls',
  REDIS_URL: 'redis://127.0.0.1:1/0',
};

const specification = execFileSync(`${ROOT}.venv/bin/python`, ['-m', 'web'], {
  cwd: ROOT,
  env: { ...process.env, ...SETTINGS },
  encoding: 'utf8',
  maxBuffer: 1 << 25,
});
// A field with a default may be left out of a request: it is not required just because it has one.
const types = await openapiTS(specification, { defaultNonNullable: false });
const text = HEAD + astToString(types);

if (!process.argv.includes('--check')) {
  await writeFile(FILE, text);
} else if ((await readFile(FILE, 'utf8')) !== text) {
  console.error('src/generated/openapi.ts is not what the service says of itself: npm run generate');
  process.exitCode = 1;
}
