import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { once } from 'node:events';

/** Where the parts of a running service are. */
export interface Addresses {
  url: string;
  apiKey: string;
  readKey: string;
  /** The service's own Redis, without a database number. */
  redisUrl: string;
  brokers: string[];
  /** Whether the broker is Apache Kafka, which isolates transactions, or the embedded one, which does not. */
  isolates: boolean;
}

export interface Stack {
  addresses: Addresses;
  stop: () => Promise<void>;
}

export const STACK_VARIABLE = 'EVZONE_TEST_STACK';
const ROOT = resolve(__dirname, '../../../..');
const PYTHON = join(ROOT, '.venv/bin/python');
const READY_WITHIN_MS = 180_000;

/** The stack that global-setup has started. */
export function stack(): Addresses {
  return JSON.parse(process.env[STACK_VARIABLE] ?? '') as Addresses;
}

/** Everything that `make run` starts, on free ports and in a folder of its own, on Apache Kafka if it can be had. */
export async function startStack(): Promise<Stack> {
  const folder = await mkdtemp(join(tmpdir(), 'evzone-nestjs-'));
  const [port, redisPort, kafkaPort, flowerPort] = await freePorts(4);
  const kafka = await startApacheKafka();
  const apiKey = 'key-of-the-nestjs-tests';
  const readKey = 'key-that-may-only-read';
  const service = run(['-m', 'stack', 'run'], 'EVzone ML Service is ready', {
    ENVIRONMENT: 'test',
    ML_SERVICE_API_KEY: `${apiKey},${readKey}:read`,
    FLOWER_BASIC_AUTH: 'nobody:looks',
    STATE_DIR: folder,
    PORT: String(port),
    FLOWER_PORT: String(flowerPort),
    REDIS_URL: '',
    REDIS_CACHE_URL: '',
    REDIS_PORT: String(redisPort),
    KAFKA_BOOTSTRAP_SERVERS: kafka?.said ?? '',
    KAFKA_PORT: String(kafkaPort),
    KAFKA_TOPIC_OCPP: '',
  });
  const stop = async () => {
    await (await service).stop();
    await kafka?.stop();
    await rm(folder, { recursive: true, force: true });
  };
  try {
    await service;
  } catch (error) {
    await kafka?.stop();
    throw error;
  }
  const addresses = {
    url: `http://127.0.0.1:${port}`,
    apiKey,
    readKey,
    redisUrl: `redis://127.0.0.1:${redisPort}`,
    brokers: [kafka?.said ?? `127.0.0.1:${kafkaPort}`],
    isolates: kafka !== null,
  };
  return { addresses, stop };
}

/** Apache Kafka, or null where it cannot be had: at a desk without Java, never in CI. */
async function startApacheKafka(): Promise<Running | null> {
  try {
    return await run(['-m', 'tests.kafka'], /^kafka (\S+)$/m, {});
  } catch (error) {
    if (process.env.CI !== undefined) {
      throw error;
    }
    console.warn(`Without Apache Kafka: ${String(error)}`);
    return null;
  }
}

interface Running {
  /** What the group of the pattern has caught. */
  said: string;
  stop: () => Promise<void>;
}

/** Run our Python until it says what is waited for. */
async function run(words: string[], ready: string | RegExp, settings: NodeJS.ProcessEnv): Promise<Running> {
  const child = spawn(PYTHON, words, { cwd: ROOT, env: { ...process.env, ...settings } });
  const stop = async () => {
    if (child.exitCode === null && child.signalCode === null) {
      child.kill('SIGTERM');
      await once(child, 'exit');
    }
  };
  try {
    return { said: await heard(child, ready), stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

function heard(child: ChildProcess, ready: string | RegExp): Promise<string> {
  return new Promise((done, fail) => {
    let output = '';
    const failed = (why: string) => {
      clearTimeout(timer);
      fail(new Error(`${child.spawnargs.join(' ')} ${why}\n${output}`));
    };
    const timer = setTimeout(() => {
      failed('was not ready in time');
    }, READY_WITHIN_MS);
    const listen = (chunk: Buffer) => {
      output += chunk.toString();
      const found = output.match(ready);
      if (found) {
        clearTimeout(timer);
        done(found[1] ?? found[0]);
      }
    };
    child.stdout?.on('data', listen);
    child.stderr?.on('data', listen);
    child.on('error', (error) => {
      failed(error.message);
    });
    child.on('exit', (code) => {
      failed(`ended with ${String(code)}`);
    });
  });
}

/** Ports that nothing listens on, below those that outgoing connections are given. */
export async function freePorts(count: number): Promise<number[]> {
  const found = new Set<number>();
  while (found.size < count) {
    const port = 20_000 + Math.floor(Math.random() * 10_000);
    const probe = createServer();
    const free = await new Promise<boolean>((done) => {
      probe.once('error', () => {
        done(false);
      });
      probe.listen(port, '127.0.0.1', () => {
        done(true);
      });
    });
    probe.close();
    if (free) {
      found.add(port);
    }
  }
  return [...found];
}
