import type { KafkaConfig } from 'kafkajs';
import { variable } from '../environment';

/** Options given in code. Missing ones come from the environment or from a default. */
export interface MLKafkaOptions {
  /** `KAFKA_BOOTSTRAP_SERVERS`, host:port,… */
  brokers?: string[];
  /** Client id and consumer group; `KAFKA_CLIENT_ID` (`evzone-backend`) and `KAFKA_GROUP_ID` (`{clientId}-ml`). */
  clientId?: string;
  groupId?: string;
  /** TLS and password options of kafkajs. */
  ssl?: KafkaConfig['ssl'];
  sasl?: KafkaConfig['sasl'];
  /** Whether a new group starts with the oldest record; default: false. */
  fromBeginning?: boolean;
  /** Time limit of publishing, in ms; default: 5000. */
  publishTimeoutMs?: number;
  /** `KAFKA_TOPIC_METRICS`, `…_PREDICTIONS`, `…_FAILURE_ALERTS`, `…_ANOMALIES`, as in the service. */
  topics?: Partial<MLTopics>;
}

/** Names of the topics. */
export interface MLTopics {
  metrics: string;
  prediction: string;
  failureAlert: string;
  anomalyAlert: string;
}

/** Options with all defaults. */
export type ResolvedKafkaOptions = Required<Omit<MLKafkaOptions, 'ssl' | 'sasl' | 'topics'>> &
  Pick<MLKafkaOptions, 'ssl' | 'sasl'> & { topics: MLTopics };

/** Complete the options from the environment and the defaults. Throws unless brokers are host:port. */
export function resolveKafkaOptions(
  given: MLKafkaOptions,
  environment: NodeJS.ProcessEnv = process.env,
): ResolvedKafkaOptions {
  const named = (name: string) => variable(environment, name);
  const brokers = given.brokers ?? named('KAFKA_BOOTSTRAP_SERVERS')?.split(',') ?? [];
  const wrong = brokers.map((broker) => broker.trim()).find((broker) => !/^.+:\d+$/.test(broker));
  if (brokers.length === 0 || wrong !== undefined) {
    throw new Error(
      `KAFKA_BOOTSTRAP_SERVERS (option brokers): must be host:port,…${wrong ? `, not ${wrong}` : ''}`,
    );
  }
  const clientId = given.clientId ?? named('KAFKA_CLIENT_ID') ?? 'evzone-backend';
  return {
    ...given,
    brokers: brokers.map((broker) => broker.trim()),
    clientId,
    groupId: given.groupId ?? named('KAFKA_GROUP_ID') ?? `${clientId}-ml`,
    fromBeginning: given.fromBeginning ?? false,
    publishTimeoutMs: given.publishTimeoutMs ?? 5_000,
    topics: {
      metrics: named('KAFKA_TOPIC_METRICS') ?? 'charger.metrics',
      prediction: named('KAFKA_TOPIC_PREDICTIONS') ?? 'ml.predictions',
      failureAlert: named('KAFKA_TOPIC_FAILURE_ALERTS') ?? 'charger.failure_alerts',
      anomalyAlert: named('KAFKA_TOPIC_ANOMALIES') ?? 'charger.anomalies',
      ...given.topics,
    },
  };
}
