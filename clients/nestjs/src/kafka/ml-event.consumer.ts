import { setTimeout as sleep } from 'node:timers/promises';
import { Inject, Injectable, type OnApplicationBootstrap, type OnApplicationShutdown } from '@nestjs/common';
import { DiscoveryService, MetadataScanner } from '@nestjs/core';
import type { Consumer, EachMessagePayload } from 'kafkajs';
import { continueTrace } from '../trace-context';
import { eventListenedTo } from './decorators';
import { dedupIdOf, eventOf, type MLEventHandler, type MLEventName } from './messages';
import { MLKafkaClient } from './ml-kafka.client';

const TRY_AGAIN_MS = 2_000;

/**
 * Calls the listening methods (`@OnPrediction()` and the others) with the records of the service's topics, one
 * by one. A record is committed after all its methods have returned: at-least-once delivery. The methods run in
 * the trace context of the record.
 *
 * If Kafka is unavailable, at start or later, the consumer reconnects until the application ends.
 */
@Injectable()
export class MLEventConsumer implements OnApplicationBootstrap, OnApplicationShutdown {
  private readonly handlers = new Map<string, MLEventHandler<MLEventName>[]>();
  private readonly ended = new AbortController();
  private consuming: Promise<void> = Promise.resolve();

  constructor(
    @Inject(MLKafkaClient) private readonly client: MLKafkaClient,
    @Inject(DiscoveryService) private readonly discovery: DiscoveryService,
    @Inject(MetadataScanner) private readonly scanner: MetadataScanner,
  ) {}

  /** Find the listening methods and start to consume. Called by NestJS; does not wait for Kafka. */
  onApplicationBootstrap(): void {
    this.findListeners();
    if (this.handlers.size > 0) {
      this.consuming = this.keepConsuming();
    }
  }

  /** Stop consuming and disconnect. Called by NestJS. */
  async onApplicationShutdown(): Promise<void> {
    this.ended.abort();
    await this.consuming;
  }

  private findListeners(): void {
    for (const { instance } of this.discovery.getProviders()) {
      const listener = instance as Record<string, unknown> | null;
      if (listener === null || typeof listener !== 'object') {
        continue;
      }
      for (const name of this.scanner.getAllMethodNames(Object.getPrototypeOf(listener) as object)) {
        const method = listener[name] as MLEventHandler<MLEventName>;
        const event = eventListenedTo(method);
        if (event !== undefined) {
          const topic = this.client.options.topics[event];
          this.handlers.set(topic, [...(this.handlers.get(topic) ?? []), method.bind(listener)]);
        }
      }
    }
  }

  private async keepConsuming(): Promise<void> {
    let lastSaid = '';
    for (;;) {
      const why = await this.consume();
      if (this.ended.signal.aborted) {
        return;
      }
      if (why !== lastSaid) {
        this.client.logger.warn(`Not consuming, trying again: ${why}`);
        lastSaid = why;
      }
      try {
        await sleep(TRY_AGAIN_MS, undefined, { signal: this.ended.signal });
      } catch {
        return;
      }
    }
  }

  /** Consume until the consumer or the application ends. Returns the reason. */
  private async consume(): Promise<string> {
    const consumer = this.client.consumer();
    const ended = new Promise<string>((resolve) => {
      this.ended.signal.addEventListener('abort', () => {
        resolve('the application ends');
      });
    });
    const consumed = this.consumed(consumer);
    consumed.catch(() => undefined); // a failure after the end is expected
    try {
      return await Promise.race([consumed, ended]);
    } catch (error) {
      return (error as Error).message;
    } finally {
      await consumer.disconnect().catch(() => undefined);
    }
  }

  private async consumed(consumer: Consumer): Promise<string> {
    const topics = [...this.handlers.keys()];
    const gone = new Promise<string>((resolve) => {
      consumer.on('consumer.crash', ({ payload }) => {
        // kafkajs restarts after most errors.
        if (!payload.restart) {
          resolve(payload.error.message);
        }
      });
      consumer.on('consumer.disconnect', () => {
        resolve('disconnected');
      });
    });
    await consumer.connect();
    await consumer.subscribe({ topics, fromBeginning: this.client.options.fromBeginning });
    // `run` after a disconnect would reconnect, and outlive the application.
    this.ended.signal.throwIfAborted();
    await consumer.run({
      eachMessage: (payload) => continueTrace(payload.message.headers ?? {}, () => this.handle(payload)),
    });
    this.client.logger.log(`Consuming ${topics.join(', ')}`);
    return gone;
  }

  private async handle({ topic, partition, message }: EachMessagePayload): Promise<void> {
    const event = eventOf(message.value);
    if (event === null) {
      // A retry would not help: the record stays unreadable.
      this.client.logger.error(`Skipping ${topic}:${partition}:${message.offset}, which is no event`);
      return;
    }
    const record = { dedupId: dedupIdOf(event), topic, partition, offset: message.offset };
    for (const handler of this.handlers.get(topic) ?? []) {
      try {
        await handler(event, record);
      } catch (error) {
        this.client.logger.error(
          `A listener failed on ${record.dedupId}, it is called again: ${String(error)}`,
        );
        throw error;
      }
    }
  }
}
