export * from './answers';
export type { CallOptions } from './caller';
export type { JobEvent } from './job-events';
export { MLClientModule } from './ml-client.module';
export { ML_CLIENT_OPTIONS } from './ml-client.module-definition';
export { type MLClientOptions, MLOptionsError } from './ml-client.options';
export { type Invalidated, MLClientService, type MLHealth } from './ml-client.service';
export type { CircuitState } from './policies';
export type {
  AlertPageOptions,
  BatchOptions,
  FleetOptions,
  FleetSort,
  OutcomePageOptions,
  PageOptions,
  SitesOptions,
  SitesSort,
} from './requests';
export type * from './types';
export { isFailedRow, VERDICT_KINDS } from './types';
