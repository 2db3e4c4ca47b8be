import { Inject, Injectable, Module } from '@nestjs/common';
import { Test } from '@nestjs/testing';
import { MLClientModule, MLClientService, orThrow } from '../src';
import { stack } from './support/stack';

const { url, apiKey } = stack();
const environment = process.env;

beforeEach(() => {
  process.env = { ...environment };
});

afterEach(() => {
  process.env = environment;
});

describe('MLClientModule', () => {
  it('takes everything from the environment', async () => {
    Object.assign(process.env, { ML_SERVICE_URL: url, ML_SERVICE_API_KEY: apiKey });
    const app = await Test.createTestingModule({ imports: [MLClientModule] }).compile();
    expect(orThrow(await app.get(MLClientService).listModels()).total).toBe(3);
    await app.close();
  });

  it('takes options, for all modules if asked', async () => {
    @Injectable()
    class Fleet {
      constructor(@Inject(MLClientService) readonly ml: MLClientService) {}
    }
    @Module({ providers: [Fleet] })
    class FleetModule {}
    const app = await Test.createTestingModule({
      imports: [MLClientModule.forRoot({ url, apiKey, isGlobal: true }), FleetModule],
    }).compile();
    expect((await app.get(Fleet, { strict: false }).ml.healthCheck()).status).toBe('healthy');
    await app.close();
  });

  it('takes options from a factory', async () => {
    @Module({ providers: [{ provide: 'KEY', useValue: apiKey }], exports: ['KEY'] })
    class SecretsModule {}
    const app = await Test.createTestingModule({
      imports: [
        MLClientModule.forRootAsync({
          imports: [SecretsModule],
          inject: ['KEY'],
          useFactory: (key: string) => ({ url, apiKey: key }),
        }),
      ],
    }).compile();
    expect((await app.get(MLClientService).listModels()).status).toBe('ok');
    await app.close();
  });

  it('does not start with wrong settings, and says what is wrong', async () => {
    delete process.env.ML_SERVICE_API_KEY;
    const start = Test.createTestingModule({
      imports: [MLClientModule.forRoot({ url: 'nowhere', timeoutMs: 1 })],
    }).compile();
    await expect(start).rejects.toThrow(
      [
        "The ML client's settings are wrong:",
        '  ML_SERVICE_URL (option url): must look like http://localhost:8000',
        '  ML_SERVICE_TIMEOUT (option timeoutMs): must be a whole number from 50 to 600000',
      ].join('\n'),
    );
  });
});
