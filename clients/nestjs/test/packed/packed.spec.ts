import { execFile } from 'node:child_process';
import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
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

/** How a backend compiles: what its package is, and its tsconfig. */
interface Setup {
  type: 'commonjs' | 'module';
  compilerOptions: object;
}

const NEST = {
  experimentalDecorators: true,
  emitDecoratorMetadata: true,
  declaration: true,
  skipLibCheck: true,
};
/** As the starter of NestJS 10 has it: modules are resolved the old way, and null is no type. */
const STARTER_10: Setup = {
  type: 'commonjs',
  compilerOptions: { ...NEST, module: 'commonjs', target: 'es2021', allowSyntheticDefaultImports: true },
};
/** As the starter of NestJS 11 has it. */
const STARTER_11: Setup = {
  type: 'commonjs',
  compilerOptions: {
    ...NEST,
    module: 'nodenext',
    target: 'es2023',
    esModuleInterop: true,
    isolatedModules: true,
    strictNullChecks: true,
  },
};
/** Strict, and the package's own types are checked too. */
const STRICT = { strict: true, skipLibCheck: false };
const STRICT_ESM: Setup = {
  type: 'module',
  compilerOptions: { ...STARTER_11.compilerOptions, ...STRICT },
};
const STRICT_CJS: Setup = { ...STRICT_ESM, type: 'commonjs' };

/** Compile the app and run it: what its calls have answered. With `copied`, it has our sources for its own. */
async function callEverything(folder: string, setup: Setup, { copied = false } = {}): Promise<unknown> {
  const at = await mkdtemp(join(folder, 'src-'));
  await writeFile(join(at, 'package.json'), JSON.stringify({ type: setup.type }));
  await writeFile(join(at, 'tsconfig.json'), JSON.stringify({ compilerOptions: setup.compilerOptions }));
  const app = await readFile(join(__dirname, 'app.ts'), 'utf8');
  if (copied) {
    await cp(join(PACKAGE, 'src'), join(at, 'integrations/ml'), { recursive: true });
  }
  await writeFile(
    join(at, 'app.ts'),
    copied ? app.replaceAll('@evzone/ml-client', './integrations/ml') : app,
  );
  await run(process.execPath, [TSC, '-p', at]).catch((error: unknown) => {
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
  outcomeAlerted: true,
  invalidated: 'forgotten',
  published: 'ok',
};

describe('a fresh app that installs the packed package and calls every method', () => {
  let folder: string;
  let tarball: string;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'evzone-packed-'));
    const { stdout } = await run('npm', ['pack', '--pack-destination', folder], { cwd: PACKAGE });
    tarball = join(folder, stdout.trim());
  }, CALLS_TAKE_MS);

  afterAll(async () => {
    await rm(folder, { recursive: true, force: true });
  });

  it(
    'on NestJS 11, with require and with import, and with our sources copied',
    async () => {
      const app = join(folder, 'nest-11');
      await freshApp(app, '11', tarball);
      expect(await callEverything(app, STRICT_CJS)).toEqual(EVERYTHING);
      expect(await callEverything(app, STRICT_ESM)).toEqual(EVERYTHING);
      expect(await callEverything(app, STARTER_11, { copied: true })).toEqual(EVERYTHING);
    },
    CALLS_TAKE_MS,
  );

  it(
    'on NestJS 10, and with our sources copied',
    async () => {
      const app = join(folder, 'nest-10');
      await freshApp(app, '10', tarball);
      expect(await callEverything(app, STARTER_10)).toEqual(EVERYTHING);
      expect(await callEverything(app, STARTER_10, { copied: true })).toEqual(EVERYTHING);
    },
    CALLS_TAKE_MS,
  );
});
