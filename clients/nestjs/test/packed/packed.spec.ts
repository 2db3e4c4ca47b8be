import { execFile } from 'node:child_process';
import { copyFile, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { newCharger } from '../support/readings';
import { stack } from '../support/stack';

const run = promisify(execFile);
const PACKAGE = resolve(__dirname, '../..');
const TSC = require.resolve('typescript/bin/tsc');
const CALLS_TAKE_MS = 180_000;

/** A backend that has no more than Nest's starter has, with the packed package installed. */
async function freshApp(folder: string, nest: string, tarball: string): Promise<void> {
  await mkdir(folder);
  await writeFile(join(folder, 'package.json'), JSON.stringify({ name: 'backend', private: true }));
  const packages = [
    tarball,
    `@nestjs/common@${nest}`,
    `@nestjs/core@${nest}`,
    'rxjs@7',
    'reflect-metadata@0.2',
  ];
  const flags = ['--no-audit', '--no-fund', '--prefer-offline', '--omit=optional', '--ignore-scripts'];
  await run('npm', ['install', ...flags, ...packages, 'kafkajs@2', '@types/node@20'], { cwd: folder });
}

/** Compile and run the app in `folder`; what its calls have answered. */
async function callEverything(folder: string, type: string, compiler: string[]): Promise<unknown> {
  const at = join(folder, type + compiler.join('-'));
  await mkdir(at);
  await writeFile(join(at, 'package.json'), JSON.stringify({ type }));
  await copyFile(join(__dirname, 'app.ts'), join(at, 'app.ts'));
  const flags = ['--strict', '--target', 'es2022', '--experimentalDecorators', '--emitDecoratorMetadata'];
  // The types of the package itself are checked too.
  await run(process.execPath, [TSC, 'app.ts', ...flags, ...compiler], { cwd: at }).catch((error: unknown) => {
    throw new Error((error as { stdout: string }).stdout);
  });
  const { url, apiKey, redisUrl, brokers } = stack();
  const settings = {
    ML_SERVICE_URL: url,
    ML_SERVICE_API_KEY: apiKey,
    ML_SERVICE_TENANT_ID: newCharger(),
    ML_CACHE_REDIS_URL: `${redisUrl}/2`,
    KAFKA_BOOTSTRAP_SERVERS: brokers.join(','),
  };
  const env = { ...process.env, ...settings };
  const { stdout } = await run(process.execPath, ['app.js', newCharger()], { cwd: at, env, timeout: 60_000 });
  return JSON.parse(stdout);
}

const EVERYTHING = {
  circuit: 'closed',
  health: 'healthy',
  inFailure: true,
  cached: true,
  urgency: 'CRITICAL',
  isAnomaly: 'boolean',
  fleet: 1,
  batch: true,
  lastEvent: 'done',
  done: 1,
  results: 1,
  afterCancelling: 'SUCCEEDED',
  models: 3,
  outcomeCalled: true,
  invalidated: 'forgotten',
  published: 'ok',
};

describe('a fresh app that installs the packed package and calls every method', () => {
  let folder: string;
  let tarball: string;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'evzone-packed-'));
    await run('npm', ['pack', '--pack-destination', folder], { cwd: PACKAGE });
    tarball = join(folder, 'evzone-ml-client-0.1.0.tgz');
  }, CALLS_TAKE_MS);

  afterAll(async () => {
    await rm(folder, { recursive: true, force: true });
  });

  it(
    'on NestJS 11, with require and with import',
    async () => {
      const app = join(folder, 'nest-11');
      await freshApp(app, '11', tarball);
      expect(await callEverything(app, 'commonjs', ['--module', 'nodenext'])).toEqual(EVERYTHING);
      expect(await callEverything(app, 'module', ['--module', 'nodenext'])).toEqual(EVERYTHING);
    },
    CALLS_TAKE_MS,
  );

  it(
    'on NestJS 10, whose starter resolves modules the old way',
    async () => {
      const app = join(folder, 'nest-10');
      await freshApp(app, '10', tarball);
      const compiler = ['--module', 'commonjs', '--moduleResolution', 'node10', '--esModuleInterop'];
      expect(await callEverything(app, 'commonjs', compiler)).toEqual(EVERYTHING);
    },
    CALLS_TAKE_MS,
  );
});
