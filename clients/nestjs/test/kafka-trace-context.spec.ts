import { context, type SpanContext, trace } from '@opentelemetry/api';
import { Injectable } from '@nestjs/common';
import { Test, type TestingModule } from '@nestjs/testing';
import kafkajs from 'kafkajs';
import { setTimeout as sleep } from 'node:timers/promises';
import { MLKafkaModule, MLMetricsPublisher, OnPrediction, type PredictionEvent } from '../src/kafka';
import { eventually, newCharger, reading } from './support/readings';
import { stack } from './support/stack';
import { headerOf, inSpan } from './support/tracing';

const { brokers } = stack();
const kafka = new kafkajs.Kafka({ brokers, logLevel: kafkajs.logLevel.NOTHING });

// The embedded broker lets a group form for 15 s.
const JOINED_WITHIN_MS = 60_000;
jest.setTimeout(90_000);

/** Keeps the current span of each event's listener. */
@Injectable()
class Listener {
  readonly current = new Map<string, SpanContext | undefined>();

  @OnPrediction()
  async predicted(event: PredictionEvent): Promise<void> {
    await sleep(0);
    this.current.set(event.charger_id, trace.getSpanContext(context.active()));
  }
}

let app: TestingModule;
let listener: Listener;
let publisher: MLMetricsPublisher;

beforeEach(async () => {
  const options = { brokers, clientId: newCharger(), fromBeginning: true, publishTimeoutMs: 20_000 };
  app = await Test.createTestingModule({
    imports: [MLKafkaModule.forRoot(options)],
    providers: [Listener],
  }).compile();
  app.useLogger(false);
  await app.init();
  listener = app.get(Listener);
  publisher = app.get(MLMetricsPublisher);
});

afterEach(async () => {
  await app.close();
});

/** The `traceparent` of the first record of each charger in a topic; null: there is none. */
async function headersOf(topic: string, chargers: string[]): Promise<(string | null)[]> {
  const found = new Map<string, string | null>();
  const consumer = kafka.consumer({ groupId: newCharger() });
  await consumer.connect();
  await consumer.subscribe({ topic, fromBeginning: true });
  await consumer.run({
    eachMessage: ({ message: { key, headers } }) => {
      found.set(key?.toString() ?? '', headers?.traceparent?.toString() ?? null);
      return Promise.resolve();
    },
  });
  await eventually(() => chargers.every((charger) => found.has(charger)), JOINED_WITHIN_MS);
  await consumer.disconnect();
  return chargers.map((charger) => found.get(charger) ?? null);
}

it('publishes readings with the trace context of the caller', async () => {
  const chargers = [newCharger(), newCharger(), newCharger()];
  const [one = '', other = '', untraced = ''] = chargers;
  const [span, published] = await inSpan(() => publisher.publish([reading(one), reading(other)]));
  expect(published).toEqual({ status: 'ok', records: 2 });
  expect(await publisher.publish(reading(untraced))).toEqual({ status: 'ok', records: 1 });
  const expected = [headerOf(span), headerOf(span), null];
  expect(await headersOf('charger.metrics', chargers)).toEqual(expected);
});

it('calls a listener in the trace context of the record', async () => {
  const [traced, untraced] = [newCharger(), newCharger()];
  const [span] = await inSpan(() => Promise.resolve());
  const producer = kafka.producer();
  await producer.connect();
  const record = (charger: string) => ({
    key: charger,
    value: JSON.stringify({ charger_id: charger, event_id: `${charger}:0:0` }),
  });
  await producer.send({
    topic: 'ml.predictions',
    messages: [{ ...record(traced), headers: { traceparent: headerOf(span) } }, record(untraced)],
  });
  await producer.disconnect();
  await eventually(() => listener.current.has(traced) && listener.current.has(untraced), JOINED_WITHIN_MS);
  expect(listener.current.get(traced)).toEqual({ ...span.spanContext(), isRemote: true });
  expect(listener.current.get(untraced)).toBeUndefined();
});
