// Write src/generated/openapi.ts from a running service's /openapi.json.
//
//   npm run generate                        # from $ML_SERVICE_URL, or http://localhost:8000
//   npm run generate -- --check [URL]       # write nothing; exit 1 if it would change
import { readFile, writeFile } from 'node:fs/promises';
import openapiTS, { astToString } from 'openapi-typescript';

const FILE = new URL('../src/generated/openapi.ts', import.meta.url);
const HEAD =
  '// Written by `npm run generate` from the /openapi.json of the service: changes here are lost.\n\n';

const words = process.argv.slice(2);
const check = words.includes('--check');
const service =
  words.find((word) => !word.startsWith('--')) ?? process.env.ML_SERVICE_URL ?? 'http://localhost:8000';

// A field with a default may be left out of a request: it is not required just because it has one.
const document = await fetch(new URL('/openapi.json', service)).catch((error) => {
  console.error(
    `Nothing answers at ${service} (${error.cause?.code ?? error}): start the service, or name its address.`,
  );
  process.exit(2);
});
const types = await openapiTS(await document.json(), { defaultNonNullable: false });
const text = HEAD + astToString(types);

if (!check) {
  await writeFile(FILE, text);
} else if ((await readFile(FILE, 'utf8')) !== text) {
  console.error(
    `src/generated/openapi.ts is not what ${service} says. With the service running: npm run generate`,
  );
  process.exitCode = 1;
}
