import { Inject, Injectable, Logger } from '@nestjs/common';
import { type Consumer, Kafka, type KafkaConfig, type LogEntry, Partitioners, type Producer } from 'kafkajs';
import { ML_KAFKA_OPTIONS } from './ml-kafka.module-definition';
import { type MLKafkaOptions, resolveKafkaOptions, type ResolvedKafkaOptions } from './ml-kafka.options';

const CONNECT_TIMEOUT_MS = 3_000;

/** Options and Kafka client shared by consumer and publisher. */
@Injectable()
export class MLKafkaClient {
  readonly options: ResolvedKafkaOptions;
  readonly logger = new Logger('MLKafka');
  private readonly kafka;

  /** Throws if no brokers are set. Does not connect. */
  constructor(@Inject(ML_KAFKA_OPTIONS) options: MLKafkaOptions) {
    this.options = resolveKafkaOptions(options);
    const { brokers, clientId, ssl, sasl } = this.options;
    const config: KafkaConfig = {
      brokers,
      clientId,
      connectionTimeout: CONNECT_TIMEOUT_MS,
      // kafkajs logs at debug level; consumer and publisher log the important events.
      logCreator:
        () =>
        ({ namespace, log }: LogEntry) => {
          this.logger.debug(`${namespace}: ${log.message}`);
        },
    };
    if (ssl !== undefined) {
      config.ssl = ssl;
    }
    if (sasl !== undefined) {
      config.sasl = sasl;
    }
    this.kafka = new Kafka(config);
  }

  /** Create a consumer that skips records of aborted and open transactions. */
  consumer(): Consumer {
    return this.kafka.consumer({
      groupId: this.options.groupId,
      readUncommitted: false,
      allowAutoTopicCreation: false,
    });
  }

  /**
   * Create a producer that keeps the order of its records. A retry may write a reading twice. This is harmless:
   * the service gives a repeated reading the same verdict.
   */
  producer(): Producer {
    return this.kafka.producer({
      maxInFlightRequests: 1,
      allowAutoTopicCreation: false,
      createPartitioner: Partitioners.DefaultPartitioner,
    });
  }
}
