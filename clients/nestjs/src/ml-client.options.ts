import type { Redis } from 'ioredis';
import { z } from 'zod';
import { variable } from './environment';

/** Environment variable of each option. Options given in code take precedence. */
const ENVIRONMENT = {
  url: 'ML_SERVICE_URL',
  apiKey: 'ML_SERVICE_API_KEY',
  enabled: 'ML_SERVICE_ENABLED',
  timeoutMs: 'ML_SERVICE_TIMEOUT',
  tenantId: 'ML_SERVICE_TENANT_ID',
  throwErrors: 'ML_SERVICE_THROW_ERRORS',
  retries: 'ML_SERVICE_RETRIES',
  retryDelayMs: 'ML_SERVICE_RETRY_DELAY',
  retryRatio: 'ML_SERVICE_RETRY_RATIO',
  retryReserve: 'ML_SERVICE_RETRY_RESERVE',
  breakerFailures: 'ML_SERVICE_BREAKER_FAILURES',
  breakerResetMs: 'ML_SERVICE_BREAKER_RESET',
  cacheRedisUrl: 'ML_CACHE_REDIS_URL',
  cacheShared: 'ML_CACHE_SHARED',
  cacheTimeoutMs: 'ML_CACHE_TIMEOUT',
  cacheTtlFailureS: 'ML_CACHE_TTL_FAILURE',
  cacheTtlMaintenanceS: 'ML_CACHE_TTL_MAINTENANCE',
  cacheTtlAnomalyS: 'ML_CACHE_TTL_ANOMALY',
} as const;

const flag = z.union([z.boolean(), z.stringbool()], { error: 'must be true or false' });
const whole = (least: number, most: number) => {
  const error = `must be a whole number from ${least} to ${most}`;
  return z.coerce.number({ error }).int({ error }).min(least, { error }).max(most, { error });
};
const share = (most: number) => {
  const error = `must be a number from 0 to ${most}`;
  return z.coerce.number({ error }).min(0, { error }).max(most, { error });
};
const url = (protocol: RegExp, example: string) =>
  z.string().refine((text) => URL.canParse(text) && protocol.test(new URL(text).protocol), {
    error: `must look like ${example}`,
  });

const SCHEMA = z
  .object({
    url: url(/^https?:$/, 'http://localhost:8000').optional(),
    apiKey: z
      .string()
      .regex(/^[\x21-\x2b\x2d-\x39\x3b-\x7e]+$/, 'must be one key alone, without roles and commas')
      .optional(),
    enabled: flag.default(true),
    timeoutMs: whole(50, 600_000).default(5_000),
    tenantId: z
      .string()
      .regex(/^[A-Za-z0-9_-]{1,64}$/, 'must be 1 to 64 characters of A-Z a-z 0-9 _ -')
      .optional(),
    throwErrors: flag.default(false),
    retries: whole(0, 10).default(2),
    retryDelayMs: whole(1, 60_000).default(100),
    // The budget of retries of all calls together: each call adds `retryRatio`, at most `retryReserve` are saved.
    retryRatio: share(10).default(0.1),
    retryReserve: whole(0, 10_000).default(10),
    breakerFailures: whole(1, 1_000).default(5),
    breakerResetMs: whole(1, 3_600_000).default(60_000),
    cacheRedisUrl: url(/^rediss?:$/, 'redis://localhost:6379/0').optional(),
    cacheShared: flag.default(false),
    cacheTimeoutMs: whole(1, 5_000).default(100),
    cacheTtlFailureS: whole(1, 2_592_000).default(3_600),
    cacheTtlMaintenanceS: whole(1, 2_592_000).default(1_800),
    cacheTtlAnomalyS: whole(1, 2_592_000).default(300),
  })
  .superRefine((options, context) => {
    for (const name of ['url', 'apiKey'] as const) {
      if (options.enabled && options[name] === undefined) {
        context.addIssue({ code: 'custom', path: [name], message: 'must be set' });
      }
    }
  });

type Checked = z.output<typeof SCHEMA>;

/**
 * Options given in code. Missing ones come from the environment (table in README.md) or from a default.
 * Durations end in `Ms` or `S`.
 */
export type MLClientOptions = Partial<Checked> & {
  /** The application's connection for the cache, instead of `cacheRedisUrl`. The client does not close it. */
  cacheRedis?: Redis;
};

/** Checked options, with all defaults. */
export type ResolvedOptions = Checked & Pick<MLClientOptions, 'cacheRedis'>;

/** Thrown at start for wrong settings. `problems` has one line for each. */
export class MLOptionsError extends Error {
  override readonly name = 'MLOptionsError';
  constructor(readonly problems: string[]) {
    super(`The ML client's settings are wrong:\n${problems.map((problem) => `  ${problem}`).join('\n')}`);
  }
}

/** Complete `given` from the environment and the defaults, and check it. Throws {@link MLOptionsError}. */
export function resolveOptions(
  { cacheRedis, ...given }: MLClientOptions,
  environment: NodeJS.ProcessEnv = process.env,
): ResolvedOptions {
  const found: Record<string, unknown> = {};
  for (const [option, name] of Object.entries(ENVIRONMENT)) {
    found[option] = given[option as keyof typeof given] ?? variable(environment, name);
  }
  // Backends with a Redis usually have this variable.
  found.cacheRedisUrl ??= variable(environment, 'REDIS_URL');
  const checked = SCHEMA.safeParse(found);
  if (!checked.success) {
    throw new MLOptionsError(
      checked.error.issues.map((issue) => {
        const option = String(issue.path[0]) as keyof typeof ENVIRONMENT;
        return `${ENVIRONMENT[option]} (option ${option}): ${issue.message}`;
      }),
    );
  }
  return cacheRedis === undefined ? checked.data : { ...checked.data, cacheRedis };
}
