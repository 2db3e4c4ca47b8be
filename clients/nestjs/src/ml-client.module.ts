import { Module } from '@nestjs/common';
import { ConfigurableMLClientModule, ML_CLIENT_OPTIONS } from './ml-client.module-definition';
import { MLClientService } from './ml-client.service';

/**
 * Provides {@link MLClientService}.
 *
 * `imports: [MLClientModule]` reads every setting from the environment. `MLClientModule.forRoot({ … })` and
 * `forRootAsync({ useFactory, inject, … })` set some in code. `isGlobal: true` provides it to all modules.
 */
@Module({
  providers: [{ provide: ML_CLIENT_OPTIONS, useValue: {} }, MLClientService],
  exports: [MLClientService],
})
export class MLClientModule extends ConfigurableMLClientModule {}
