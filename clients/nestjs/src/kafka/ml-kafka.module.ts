import { Module } from '@nestjs/common';
import { DiscoveryModule } from '@nestjs/core';
import { MLEventConsumer } from './ml-event.consumer';
import { MLKafkaClient } from './ml-kafka.client';
import { ConfigurableMLKafkaModule, ML_KAFKA_OPTIONS } from './ml-kafka.module-definition';
import { MLMetricsPublisher } from './ml-metrics.publisher';

/**
 * Consumes the service's topics for the listening methods, and provides {@link MLMetricsPublisher}.
 *
 * `imports: [MLKafkaModule]` reads every setting from the environment. `forRoot` and `forRootAsync` set some in
 * code. Requires the package kafkajs.
 */
@Module({
  imports: [DiscoveryModule],
  providers: [
    { provide: ML_KAFKA_OPTIONS, useValue: {} },
    MLKafkaClient,
    MLEventConsumer,
    MLMetricsPublisher,
  ],
  exports: [MLMetricsPublisher],
})
export class MLKafkaModule extends ConfigurableMLKafkaModule {}
