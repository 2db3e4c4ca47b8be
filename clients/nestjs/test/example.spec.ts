import type { INestApplication } from '@nestjs/common';
import { Test } from '@nestjs/testing';
import { AppModule } from '../example/app.module';
import { HttpProxy } from './support/http-proxy';
import { newCharger } from './support/readings';
import { stack } from './support/stack';

const { url, apiKey, redisUrl } = stack();
const environment = process.env;

describe('the example app', () => {
  let proxy: HttpProxy;
  let app: INestApplication;
  let address: string;

  beforeEach(async () => {
    proxy = await HttpProxy.to(url);
    process.env = {
      ...environment,
      ML_SERVICE_URL: proxy.url,
      ML_SERVICE_API_KEY: apiKey,
      ML_SERVICE_TENANT_ID: newCharger(),
      ML_SERVICE_RETRIES: '0',
      ML_CACHE_REDIS_URL: `${redisUrl}/3`,
    };
    const testing = await Test.createTestingModule({ imports: [AppModule] }).compile();
    app = testing.createNestApplication();
    await app.listen(0, '127.0.0.1');
    address = await app.getUrl();
  });

  afterEach(async () => {
    await app.close();
    await proxy.down();
    process.env = environment;
  });

  const shown = async (): Promise<string> => (await fetch(address)).text();

  async function scored(form: Record<string, string>): Promise<string> {
    const response = await fetch(`${address}/score`, { method: 'POST', body: new URLSearchParams(form) });
    expect(response.status).toBe(200);
    return response.text();
  }

  it('shows an empty fleet, scores a charger, and then shows it in the fleet', async () => {
    expect(await shown()).toContain('Nothing has been scored yet');
    const page = await scored({ charger_id: 'EVZ-1', connector_status: 'FAULTY', temperature: '71' });
    expect(page).toContain('<h2>EVZ-1</h2>');
    expect(page).toContain('ML service healthy · circuit closed');
    expect(await shown()).toMatch(/<td>EVZ-1<\/td>[^]*in failure/);
  });

  it('says what is wrong with what was typed, and runs none of it', async () => {
    const page = await scored({ charger_id: '<script>', connector_status: 'FAULTY' });
    expect(page).toContain('Not scored');
    expect(page).not.toContain('<script>');
  });

  it('is there in an outage, with the last answer', async () => {
    await scored({ charger_id: 'EVZ-1', connector_status: 'CHARGING' });
    await proxy.down();
    const page = await scored({ charger_id: 'EVZ-1', connector_status: 'FAULTY' });
    expect(page).toContain('The service cannot be reached: this is the last answer.');
    expect(page).toContain('ML service unavailable');
    expect(page).toContain('The fleet cannot be shown now');
  });
});
