import { setTimeout as sleep } from 'node:timers/promises';
import { Inject, Injectable, type OnApplicationShutdown } from '@nestjs/common';
import type { Producer } from 'kafkajs';
import { traceHeaders } from '../trace-context';
import type { Reading } from '../types';
import { metricsRecord } from './messages';
import { MLKafkaClient } from './ml-kafka.client';

/** `unavailable`: the brokers did not confirm. Records already sent may still arrive. */
export type Published = { status: 'ok'; records: number } | { status: 'unavailable'; message: string };

/** Publishes readings to `charger.metrics`. The service scores them. */
@Injectable()
export class MLMetricsPublisher implements OnApplicationShutdown {
  private connected: Promise<Producer> | null = null;

  constructor(@Inject(MLKafkaClient) private readonly client: MLKafkaClient) {}

  /**
   * Publish readings, in order for each charger. Resolves after the brokers' confirmation; never rejects. The
   * records carry the caller's trace context.
   */
  async publish(
    readings: Reading | Reading[],
    { tenantId, timeoutMs = this.client.options.publishTimeoutMs }: PublishOptions = {},
  ): Promise<Published> {
    const timer = new AbortController();
    const late = sleep(timeoutMs, null, { signal: timer.signal });
    try {
      const trace = traceHeaders();
      // A copy for each record: an instrumentation of kafkajs writes into them.
      const messages = [readings]
        .flat()
        .map((reading) => ({ ...metricsRecord(reading, tenantId), headers: { ...trace } }));
      const sent = this.producer().then((producer) =>
        producer.send({ topic: this.client.options.topics.metrics, messages }),
      );
      sent.catch(() => undefined); // a failure after the time limit is expected
      if ((await Promise.race([sent, late])) === null) {
        return { status: 'unavailable', message: `not confirmed within ${timeoutMs} ms` };
      }
      return { status: 'ok', records: messages.length };
    } catch (error) {
      return { status: 'unavailable', message: (error as Error).message };
    } finally {
      timer.abort();
      late.catch(() => undefined);
    }
  }

  /** Disconnect. Called by NestJS. */
  async onApplicationShutdown(): Promise<void> {
    await this.connected?.then((producer) => producer.disconnect()).catch(() => undefined);
  }

  /** Connect on first use, and again after a failed attempt. */
  private producer(): Promise<Producer> {
    this.connected ??= this.connect().catch((error: unknown) => {
      this.connected = null;
      throw error;
    });
    return this.connected;
  }

  private async connect(): Promise<Producer> {
    const producer = this.client.producer();
    await producer.connect();
    return producer;
  }
}

/** Options of one publish call. */
export interface PublishOptions {
  tenantId?: string;
  timeoutMs?: number;
}
