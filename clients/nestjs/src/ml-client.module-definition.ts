import { ConfigurableModuleBuilder } from '@nestjs/common';
import type { MLClientOptions } from './ml-client.options';

export const {
  ConfigurableModuleClass: ConfigurableMLClientModule,
  /** The token of what was given to `forRoot` or `forRootAsync`. */
  MODULE_OPTIONS_TOKEN: ML_CLIENT_OPTIONS,
} = new ConfigurableModuleBuilder<MLClientOptions>({ moduleName: 'MLClient' })
  .setClassMethodName('forRoot')
  .setExtras({ isGlobal: false }, (definition, { isGlobal }) => ({ ...definition, global: isGlobal }))
  .build();
