// What a backend writes: it imports the packed package, injects the service and calls every method.
import 'reflect-metadata';
import { Injectable, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { MLClientModule, MLClientService, orThrow, type Reading } from '@evzone/ml-client';
import {
  type FailureAlert,
  MLKafkaModule,
  MLMetricsPublisher,
  OnFailureAlert,
} from '@evzone/ml-client/kafka';

@Injectable()
class Maintenance {
  readonly alerts: FailureAlert[] = [];

  constructor(
    private readonly ml: MLClientService,
    private readonly publisher: MLMetricsPublisher,
  ) {}

  @OnFailureAlert()
  onAlert(alert: FailureAlert): void {
    this.alerts.push(alert);
  }

  async callEverything(charger: string): Promise<Record<string, unknown>> {
    const { ml } = this;
    const metrics: Reading = { charger_id: charger, connector_status: 'FAULTY', temperature: 71 };
    const request = { charger_id: charger, metrics };
    const health = await ml.healthCheck();
    const failure = orThrow(await ml.predictFailure(request));
    const cached = orThrow(await ml.getCachedPrediction(charger));
    const maintenance = orThrow(await ml.predictMaintenance(request));
    const anomaly = orThrow(await ml.detectAnomaly(request));
    const fleet = orThrow(await ml.listChargers({ limit: 1 }));
    const batch = orThrow(await ml.batchPredictions({ chargers: [metrics] }));
    const job = orThrow(await ml.submitBatch({ chargers: [metrics] }, { kind: 'all' }));
    let last = '';
    for await (const event of ml.streamJob(job.job_id)) {
      last = event.type;
    }
    const done = orThrow(await ml.getJob(job.job_id));
    const results = orThrow(await ml.getJobResults<'all'>(job.job_id));
    const cancelled = orThrow(await ml.cancelJob(job.job_id));
    const models = orThrow(await ml.listModels());
    const occurred_at = new Date().toISOString();
    const outcome = orThrow(await ml.postOutcome({ charger_id: charger, outcome: 'failed', occurred_at }));
    const invalidated = orThrow(await ml.invalidateCache(charger));
    const published = await this.publisher.publish(metrics);
    return {
      circuit: ml.circuitState,
      health: health.status,
      inFailure: failure.in_failure,
      cached: cached?.fingerprint === failure.fingerprint,
      urgency: maintenance.urgency,
      isAnomaly: typeof anomaly.is_anomaly,
      fleet: fleet.items.length,
      batch: batch.completed,
      lastEvent: last,
      done: done.done,
      results: results.items.length,
      afterCancelling: cancelled.status,
      models: models.total,
      outcomeAlerted: outcome.alerted,
      invalidated: invalidated.clientCache,
      published: published.status,
    };
  }
}

@Module({ imports: [MLClientModule, MLKafkaModule], providers: [Maintenance] })
class AppModule {}

async function main(): Promise<void> {
  const app = await NestFactory.createApplicationContext(AppModule, { logger: false });
  const found = await app.get(Maintenance).callEverything(process.argv[2] ?? '');
  await app.close();
  process.stdout.write(JSON.stringify(found));
}

void main();
