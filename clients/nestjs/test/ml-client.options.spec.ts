import { MLOptionsError } from '../src';
import { resolveOptions } from '../src/ml-client.options';

const NEEDED = { ML_SERVICE_URL: 'http://ml:8000', ML_SERVICE_API_KEY: 'a-key' };

function problemsOf(environment: Record<string, string>): string[] {
  try {
    resolveOptions({}, environment);
  } catch (error) {
    return (error as MLOptionsError).problems;
  }
  throw new Error('nothing is wrong with it');
}

describe('settings', () => {
  it('have the defaults of the contract', () => {
    expect(resolveOptions({}, NEEDED)).toMatchObject({
      enabled: true,
      timeoutMs: 5_000,
      breakerFailures: 5,
      breakerResetMs: 60_000,
      retryRatio: 0.1,
      retryReserve: 10,
      cacheShared: false,
      cacheTtlFailureS: 3_600,
      throwErrors: false,
    });
  });

  it('come from the environment, and what code says wins', () => {
    const environment = {
      ...NEEDED,
      ML_SERVICE_TIMEOUT: '700',
      ML_SERVICE_ENABLED: 'false',
      ML_CACHE_SHARED: 'TRUE',
      REDIS_URL: 'redis://backend:6379/0',
    };
    expect(resolveOptions({ enabled: true }, environment)).toMatchObject({
      enabled: true,
      timeoutMs: 700,
      cacheShared: true,
      cacheRedisUrl: 'redis://backend:6379/0',
    });
    const named = { ...environment, ML_CACHE_REDIS_URL: 'redis://cache:6379/2' };
    expect(resolveOptions({}, named).cacheRedisUrl).toBe('redis://cache:6379/2');
  });

  it('take a variable that is set to nothing as not set', () => {
    expect(resolveOptions({}, { ...NEEDED, ML_SERVICE_TIMEOUT: ' ', REDIS_URL: '' })).toMatchObject({
      timeoutMs: 5_000,
    });
  });

  it('say in a line each what is wrong', () => {
    expect(
      problemsOf({
        ML_SERVICE_URL: 'localhost:8000',
        ML_SERVICE_API_KEY: 'one:predict,two',
        ML_SERVICE_ENABLED: 'perhaps',
        ML_SERVICE_TIMEOUT: 'soon',
        ML_SERVICE_TENANT_ID: 'a b',
        ML_SERVICE_BREAKER_FAILURES: '0',
        ML_SERVICE_RETRY_RATIO: '-0.1',
        ML_SERVICE_RETRY_RESERVE: '1.5',
        ML_CACHE_REDIS_URL: 'http://cache',
      }),
    ).toEqual([
      'ML_SERVICE_URL (option url): must look like http://localhost:8000',
      'ML_SERVICE_API_KEY (option apiKey): must be one key alone, without roles and commas',
      'ML_SERVICE_ENABLED (option enabled): must be true or false',
      'ML_SERVICE_TIMEOUT (option timeoutMs): must be a whole number from 50 to 600000',
      'ML_SERVICE_TENANT_ID (option tenantId): must be 1 to 64 characters of A-Z a-z 0-9 _ -',
      'ML_SERVICE_RETRY_RATIO (option retryRatio): must be a number from 0 to 10',
      'ML_SERVICE_RETRY_RESERVE (option retryReserve): must be a whole number from 0 to 10000',
      'ML_SERVICE_BREAKER_FAILURES (option breakerFailures): must be a whole number from 1 to 1000',
      'ML_CACHE_REDIS_URL (option cacheRedisUrl): must look like redis://localhost:6379/0',
    ]);
  });

  it('must name address and key, unless the service is switched off', () => {
    expect(problemsOf({})).toEqual([
      'ML_SERVICE_URL (option url): must be set',
      'ML_SERVICE_API_KEY (option apiKey): must be set',
    ]);
    expect(resolveOptions({}, { ML_SERVICE_ENABLED: 'false' }).enabled).toBe(false);
  });
});
