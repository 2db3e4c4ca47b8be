import { ConfigurableModuleBuilder } from '@nestjs/common';
import type { MLClientOptions } from './ml-client.options';

export const {
  ConfigurableModuleClass: ConfigurableMLClientModule,
  /** Injection token of the options given to `forRoot` or `forRootAsync`. */
  MODULE_OPTIONS_TOKEN: ML_CLIENT_OPTIONS,
} = new ConfigurableModuleBuilder<MLClientOptions>({ moduleName: 'MLClient' })
  .setClassMethodName('forRoot')
  .setExtras({ isGlobal: false }, (definition, { isGlobal }) => ({ ...definition, global: isGlobal }))
  .build();
