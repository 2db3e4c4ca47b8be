import { Module } from '@nestjs/common';
import { MLClientModule } from '../src';
import { FleetController } from './fleet.controller';

/** Settings come from the environment: `ML_SERVICE_URL` and `ML_SERVICE_API_KEY`. */
@Module({ imports: [MLClientModule], controllers: [FleetController] })
export class AppModule {}
