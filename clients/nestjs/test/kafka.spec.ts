import { Injectable } from '@nestjs/common';
import { Test, type TestingModule } from '@nestjs/testing';
import kafkajs from 'kafkajs';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  type AnomalyAlert,
  type FailureAlert,
  MLKafkaModule,
  MLMetricsPublisher,
  type MLRecord,
  OnAnomalyAlert,
  OnFailureAlert,
  OnPrediction,
  type PredictionEvent,
} from '../src/kafka';
import { eventually, newCharger, reading } from './support/readings';
import { stack } from './support/stack';
import { TcpProxy } from './support/tcp-proxy';

const { brokers, isolates } = stack();
const kafka = new kafkajs.Kafka({ brokers, logLevel: kafkajs.logLevel.NOTHING });

// The embedded broker lets a group form for 15 s.
const JOINED_WITHIN_MS = 60_000;
jest.setTimeout(90_000);

@Injectable()
class Listener {
  readonly predictions: [PredictionEvent, MLRecord][] = [];
  readonly failureAlerts: [FailureAlert, MLRecord][] = [];
  readonly anomalyAlerts: [AnomalyAlert, MLRecord][] = [];
  failures = 0;

  @OnPrediction()
  predicted(event: PredictionEvent, record: MLRecord): void {
    if (this.failures > 0) {
      this.failures -= 1;
      throw new Error('as a handler does whose database is away');
    }
    this.predictions.push([event, record]);
  }

  @OnFailureAlert()
  async alarmed(alert: FailureAlert, record: MLRecord): Promise<void> {
    await sleep(0);
    this.failureAlerts.push([alert, record]);
  }

  @OnAnomalyAlert()
  odd(alert: AnomalyAlert, record: MLRecord): void {
    this.anomalyAlerts.push([alert, record]);
  }
}

let app: TestingModule;

async function start(at = brokers): Promise<{ listener: Listener; publisher: MLMetricsPublisher }> {
  const options = { brokers: at, clientId: newCharger(), fromBeginning: true, publishTimeoutMs: 20_000 };
  app = await Test.createTestingModule({
    imports: [MLKafkaModule.forRoot(options)],
    providers: [Listener],
  }).compile();
  app.useLogger(false);
  await app.init();
  return { listener: app.get(Listener), publisher: app.get(MLMetricsPublisher) };
}

/** What came of one charger. */
function of<E extends { charger_id: string }>(records: [E, MLRecord][], charger: string): [E, MLRecord][] {
  return records.filter(([event]) => event.charger_id === charger);
}

describe('Kafka', () => {
  afterEach(async () => {
    await app.close();
  });

  it('brings published readings to the service, and its predictions and alerts to those who listen', async () => {
    const { listener, publisher } = await start();
    const charger = newCharger();
    const broken = reading(charger, { connector_status: 'FAULTY', temperature: 120 });
    expect(await publisher.publish(broken)).toEqual({ status: 'ok', records: 1 });

    const [prediction, record] = await eventually(
      () => of(listener.predictions, charger)[0],
      JOINED_WITHIN_MS,
    );
    expect(prediction).toMatchObject({ in_failure: true, tenant_id: null });
    expect(record).toMatchObject({ topic: 'ml.predictions', dedupId: prediction.event_id });
    const { topic, partition, offset } = prediction.source;
    expect(prediction.event_id).toBe(`${topic}:${partition}:${offset}`);

    const [alert, of_alert] = await eventually(() => of(listener.failureAlerts, charger)[0]);
    expect(alert).toMatchObject({ alert: 'failure', state: 'open', opened_by: prediction.event_id });
    expect(of_alert.dedupId).toBe(`${alert.alert_id}:open`);
    const [anomaly] = await eventually(() => of(listener.anomalyAlerts, charger)[0]);
    expect(anomaly).toMatchObject({ alert: 'anomaly', state: 'open', is_anomaly: true });
  });

  it('publishes many at once, for a tenant, each charger in order', async () => {
    const { listener, publisher } = await start();
    const charger = newCharger();
    const since = Date.now() - 3_600_000;
    const readings = Array.from({ length: 20 }, (_, minute) =>
      reading(charger, { timestamp: new Date(since + minute * 60_000).toISOString() }),
    );
    expect(await publisher.publish(readings, { tenantId: 'acme' })).toEqual({ status: 'ok', records: 20 });
    const found = await eventually(() => {
      const mine = of(listener.predictions, charger);
      return mine.length === 20 ? mine : null;
    }, JOINED_WITHIN_MS);
    expect(found.every(([event]) => event.tenant_id === 'acme')).toBe(true);
    const moments = found.map(([event]) => Date.parse(event.reading_timestamp));
    expect(moments).toEqual(readings.map((each) => Date.parse(String(each.timestamp))));
  });

  it('lets the application end while it is still joining', async () => {
    await start();
    await expect(app.close()).resolves.toBeUndefined();
  });

  it('publishes no number that JSON has no word for, and says so', async () => {
    const { publisher } = await start();
    const published = await publisher.publish(reading(newCharger(), { temperature: NaN }));
    expect(published).toMatchObject({
      status: 'unavailable',
      message: expect.stringContaining('temperature') as string,
    });
  });

  it('gives a record again to a listener that has failed on it', async () => {
    const { listener, publisher } = await start();
    listener.failures = 2;
    const charger = newCharger();
    await publisher.publish(reading(charger));
    await eventually(() => of(listener.predictions, charger).length === 1, JOINED_WITHIN_MS);
    expect(listener.failures).toBe(0);
  });

  it('passes over what is no event', async () => {
    const { listener, publisher } = await start();
    const producer = kafka.producer();
    await producer.connect();
    const messages = ['not json', '{}', '"text"', null].map((value) => ({ key: 'k', value }));
    await producer.send({ topic: 'ml.predictions', messages });
    await producer.disconnect();
    const charger = newCharger();
    await publisher.publish(reading(charger));
    await eventually(() => of(listener.predictions, charger).length === 1, JOINED_WITHIN_MS);
  });

  (isolates ? it : it.skip)('never sees a record of a transaction that was aborted', async () => {
    const { listener, publisher } = await start();
    const [aborted, committed] = [newCharger(), newCharger()];
    const producer = kafka.producer({
      transactionalId: newCharger(),
      idempotent: true,
      maxInFlightRequests: 1,
    });
    await producer.connect();
    const transaction = await producer.transaction();
    const value = JSON.stringify({ charger_id: aborted, event_id: 'a:0:0' });
    await transaction.send({ topic: 'ml.predictions', messages: [{ key: committed, value }] });
    await transaction.abort();
    await producer.disconnect();
    // The same key, hence the same partition, behind it.
    await publisher.publish(reading(committed));
    await eventually(() => of(listener.predictions, committed).length === 1, JOINED_WITHIN_MS);
    expect(of(listener.predictions, aborted)).toHaveLength(0);
  });
});

describe('Kafka that is away', () => {
  it('lets the application start, says that nothing is published, and is consumed once it is there', async () => {
    const [broker = ''] = brokers;
    const [host = '', port] = broker.split(':');
    // A broker names its own address to clients, so that only the first connection can be kept from it.
    const proxy = await TcpProxy.to(host, Number(port));
    await proxy.down();
    const { listener, publisher } = await start([proxy.address]);
    const charger = newCharger();
    expect(await publisher.publish(reading(charger), { timeoutMs: 300 })).toMatchObject({
      status: 'unavailable',
      message: 'not confirmed within 300 ms',
    });
    await proxy.up();
    await eventually(
      async () => (await publisher.publish(reading(charger))).status === 'ok',
      JOINED_WITHIN_MS,
    );
    await eventually(() => of(listener.predictions, charger).length > 0, JOINED_WITHIN_MS);
    await app.close();
    await proxy.down();
  });

  it('must be named', async () => {
    const nowhere = Test.createTestingModule({ imports: [MLKafkaModule.forRoot({ brokers: ['nowhere'] })] });
    await expect(nowhere.compile()).rejects.toThrow('must be host:port,…, not nowhere');
  });
});
