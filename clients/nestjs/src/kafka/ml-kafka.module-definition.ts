import { ConfigurableModuleBuilder } from '@nestjs/common';
import type { MLKafkaOptions } from './ml-kafka.options';

export const {
  ConfigurableModuleClass: ConfigurableMLKafkaModule,
  /** Injection token of the options given to `forRoot` or `forRootAsync`. */
  MODULE_OPTIONS_TOKEN: ML_KAFKA_OPTIONS,
} = new ConfigurableModuleBuilder<MLKafkaOptions>({ moduleName: 'MLKafka' })
  .setClassMethodName('forRoot')
  .setExtras({ isGlobal: false }, (definition, { isGlobal }) => ({ ...definition, global: isGlobal }))
  .build();
