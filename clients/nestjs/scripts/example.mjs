// Build the example and start it. Settings that are not in the environment are read from a service in this checkout.
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { parseEnv } from 'node:util';

const FOLDER = fileURLToPath(new URL('..', import.meta.url));
const DOTENV = fileURLToPath(new URL('../../../.env', import.meta.url));
const BUILD = ['tsup', '--no-config', 'example/main.ts', '--out-dir', 'build/example', '--silent'];

/** The address and the first key of the service that `make run` starts in this checkout. */
function localService() {
  if (!existsSync(DOTENV) || parseEnv === undefined) return {};
  const { ML_SERVICE_API_KEY = '', PORT = '8000' } = parseEnv(readFileSync(DOTENV, 'utf8'));
  const key = ML_SERVICE_API_KEY.split(',')[0].split(':')[0].trim();
  return key ? { ML_SERVICE_URL: `http://localhost:${PORT}`, ML_SERVICE_API_KEY: key } : {};
}

const environment = { ...localService(), ...process.env };
const missing = ['ML_SERVICE_URL', 'ML_SERVICE_API_KEY'].filter((name) => !environment[name]);

if (!existsSync(`${FOLDER}node_modules/tsup`)) {
  console.error('The packages of clients/nestjs are not installed. Run: npm ci');
  process.exitCode = 2;
} else if (missing.length > 0) {
  console.error(`Not set: ${missing.join(', ')}. Set them, or start a service in this checkout: make run`);
  process.exitCode = 2;
} else {
  const built = spawnSync('npx', ['--no-install', ...BUILD], { cwd: FOLDER, stdio: 'inherit' });
  if (built.status === 0) {
    const app = spawn(process.execPath, ['build/example/main.js'], {
      cwd: FOLDER,
      stdio: 'inherit',
      env: environment,
    });
    for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => app.kill(signal));
    app.on('exit', (code) => (process.exitCode = code ?? 0));
  } else {
    process.exitCode = 1;
  }
}
