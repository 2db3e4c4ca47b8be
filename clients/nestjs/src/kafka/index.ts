export { OnAnomalyAlert, OnFailureAlert, OnPrediction } from './decorators';
export type {
  AnomalyAlert,
  FailureAlert,
  MLEventHandler,
  MLEventName,
  MLEvents,
  MLRecord,
  PredictionEvent,
} from './messages';
export { MLKafkaModule } from './ml-kafka.module';
export { ML_KAFKA_OPTIONS } from './ml-kafka.module-definition';
export type { MLKafkaOptions, MLTopics } from './ml-kafka.options';
export { MLMetricsPublisher, type Published, type PublishOptions } from './ml-metrics.publisher';
