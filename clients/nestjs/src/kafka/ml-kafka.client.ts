import { Inject, Injectable, Logger } from '@nestjs/common';
import { type Consumer, Kafka, type KafkaConfig, type LogEntry, Partitioners, type Producer } from 'kafkajs';
import { ML_KAFKA_OPTIONS } from './ml-kafka.module-definition';
import { type MLKafkaOptions, resolveKafkaOptions, type ResolvedKafkaOptions } from './ml-kafka.options';

const CONNECT_TIMEOUT_MS = 3_000;

/** Options and connection that consumer and publisher share. */
@Injectable()
export class MLKafkaClient {
  readonly options: ResolvedKafkaOptions;
  readonly logger = new Logger('MLKafka');
  private readonly kafka;

  /** Throws where no brokers are named; connects to nothing. */
  constructor(@Inject(ML_KAFKA_OPTIONS) options: MLKafkaOptions) {
    this.options = resolveKafkaOptions(options);
    const { brokers, clientId, ssl, sasl } = this.options;
    const config: KafkaConfig = {
      brokers,
      clientId,
      connectionTimeout: CONNECT_TIMEOUT_MS,
      // Its own words, at the level of details: what matters is said by those who use it.
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

  /** A consumer that sees no record of a transaction that was aborted, or is still open. */
  consumer(): Consumer {
    return this.kafka.consumer({
      groupId: this.options.groupId,
      readUncommitted: false,
      allowAutoTopicCreation: false,
    });
  }

  /**
   * A producer that keeps the order of what it is given. A retry may write a reading twice: the service gives a
   * repeated reading the same verdict, and it changes nothing.
   */
  producer(): Producer {
    return this.kafka.producer({
      maxInFlightRequests: 1,
      allowAutoTopicCreation: false,
      createPartitioner: Partitioners.DefaultPartitioner,
    });
  }
}
