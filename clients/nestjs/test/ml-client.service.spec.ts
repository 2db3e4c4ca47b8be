import { isFailedRow, type JobEvent, MLClientService, MLRequestError, orThrow } from '../src';
import { asked, eventually, newCharger, reading } from './support/readings';
import { stack } from './support/stack';

const { url, apiKey, readKey } = stack();

describe('MLClientService, against the running service', () => {
  const ml = new MLClientService({ url, apiKey });

  it('predicts failure, with reasons and steps', async () => {
    const charger = newCharger();
    const answer = await ml.predictFailure(asked(charger));
    expect(answer).toMatchObject({ status: 'ok', source: 'service', stale: false });
    const prediction = orThrow(answer);
    expect(prediction.charger_id).toBe(charger);
    expect(prediction.failure_probability).toBe(prediction.horizons['30d']);
    expect(prediction.recommended_actions.length).toBeGreaterThan(0);
    expect(prediction.top_contributing_factors.map((factor) => factor.feature)).toContain('temperature_c');
  });

  it('plans maintenance and detects anomalies', async () => {
    const schedule = orThrow(await ml.predictMaintenance(asked(newCharger())));
    expect(schedule.cost_benefit.currency).toBe('USD');
    const verdict = orThrow(await ml.detectAnomaly(asked(newCharger(), { temperature: 95 })));
    expect(verdict).toMatchObject({ is_anomaly: true, anomaly_type: 'OVER_TEMPERATURE' });
  });

  it('has the prediction that the service has cached, until it is invalidated', async () => {
    const charger = newCharger();
    expect(orThrow(await ml.getCachedPrediction(charger))).toBeNull();
    const prediction = orThrow(await ml.predictFailure(asked(charger)));
    expect(orThrow(await ml.getCachedPrediction(charger))).toEqual({ ...prediction, cached: true });
    expect(orThrow(await ml.invalidateCache(charger))).toEqual({ clientCache: 'none' });
    expect(orThrow(await ml.getCachedPrediction(charger))).toBeNull();
  });

  it('scores a batch and waits for it; a wrong reading fails alone', async () => {
    const chargers = [reading(newCharger()), reading(newCharger(), { temperature: 9_999 })];
    const batch = orThrow(await ml.batchPredictions({ chargers }));
    if (!batch.completed) {
      throw new Error('two rows are scored in time');
    }
    const [good, bad] = batch.predictions;
    expect(good).toMatchObject({
      charger_id: chargers[0]?.charger_id,
      recommended_action: expect.any(String) as string,
    });
    expect(bad && isFailedRow(bad) && bad.error.errors).toMatchObject([{ pointer: '/temperature' }]);
  });

  it('asks of a batch what it is told to', async () => {
    const charger = newCharger();
    const batch = orThrow(await ml.batchPredictions({ chargers: [reading(charger)] }, { kind: 'all' }));
    expect(batch).toMatchObject({
      completed: true,
      predictions: [{ charger_id: charger, failure: {}, maintenance: {}, anomaly: {} }],
    });
  });

  it('follows a job to its end and reads its results page by page', async () => {
    const chargers = Array.from({ length: 300 }, () => reading(newCharger()));
    const job = orThrow(await ml.submitBatch({ chargers }, { kind: 'anomaly', store: false }));
    expect(job).toMatchObject({ total: 300, kind: 'anomaly' });
    const events: JobEvent[] = [];
    for await (const event of ml.streamJob(job.job_id)) {
      events.push(event);
    }
    expect(events.at(-1)).toMatchObject({ type: 'done', job: { status: 'SUCCEEDED', done: 300 } });
    expect(orThrow(await ml.getJob(job.job_id)).status).toBe('SUCCEEDED');
    const first = orThrow(await ml.getJobResults<'anomaly'>(job.job_id, { limit: 200 }));
    const second = orThrow(await ml.getJobResults<'anomaly'>(job.job_id, { cursor: first.next ?? '' }));
    const rows = [...first.items, ...second.items];
    expect(rows.map((row) => row.charger_id)).toEqual(chargers.map((charger) => charger.charger_id));
  });

  it('submits a batch once for one idempotency key', async () => {
    const chargers = [reading(newCharger())];
    const idempotencyKey = newCharger();
    const first = orThrow(await ml.submitBatch({ chargers }, { idempotencyKey }));
    const again = orThrow(await ml.submitBatch({ chargers }, { idempotencyKey }));
    expect(again.job_id).toBe(first.job_id);
    const other = await ml.submitBatch({ chargers: [reading(newCharger())] }, { idempotencyKey });
    expect(other).toMatchObject({ status: 'rejected', problem: { status: 409, code: 'conflict' } });
  });

  it('cancels a job', async () => {
    const chargers = Array.from({ length: 20_000 }, () => reading(newCharger()));
    const job = orThrow(await ml.submitBatch({ chargers }, { kind: 'all', store: false, timeoutMs: 20_000 }));
    expect(orThrow(await ml.cancelJob(job.job_id)).status).toBe('CANCELLED');
    const ended = await eventually(async () => {
      const now = orThrow(await ml.getJob(job.job_id));
      return now.finished_at === null ? null : now;
    });
    expect(ended.status).toBe('CANCELLED');
  });

  it('names the brokers and topics of the service', async () => {
    const info = orThrow(await ml.serviceInfo());
    expect(info.service).toBe('evzone-ml-service');
    expect(info.kafka.bootstrap_servers).toHaveLength(1);
    expect(info.kafka.topics).toMatchObject({ readings: 'charger.metrics', predictions: 'ml.predictions' });
  });

  it('lists the fleet by risk, models, and takes outcomes', async () => {
    const tenantId = newCharger();
    const [calm, hot] = [newCharger(), newCharger()];
    orThrow(await ml.predictFailure(asked(calm, { temperature: 20, error_codes: [] }), { tenantId }));
    orThrow(await ml.predictFailure(asked(hot, { connector_status: 'FAULTY' }), { tenantId }));
    const fleet = orThrow(await ml.listChargers({ tenantId, limit: 10 }));
    expect(fleet.items.map((each) => each.charger_id)).toEqual([hot, calm]);
    const models = orThrow(await ml.listModels());
    expect(models.models.map((model) => model.name).sort()).toEqual(['anomaly', 'failure', 'maintenance']);
    const occurred_at = new Date().toISOString();
    const outcome = { charger_id: hot, outcome: 'failed', occurred_at } as const;
    expect(orThrow(await ml.postOutcome(outcome, { tenantId }))).toMatchObject({
      charger_id: hot,
      verdict_known: true,
      alerted: true,
      called: true,
    });
  });

  it('stores attributes, and lists chargers and sites by them', async () => {
    const tenantId = newCharger();
    const [first, second] = [newCharger(), newCharger()];
    for (const charger of [first, second]) {
      orThrow(await ml.predictFailure(asked(charger), { tenantId }));
    }
    const attributes = { site_id: 'S & 1', vendor: 'ABB', connector_types: ['CCS2'], rated_power_kw: 150 };
    const stored = orThrow(await ml.putAttributes(first, attributes, { tenantId }));
    expect(stored).toEqual({ charger_id: first, attributes });
    const page = orThrow(
      await ml.listChargers({ tenantId, site: ['S & 1', 'other'], vendor: 'ABB', minRisk: 0 }),
    );
    expect(page.items.map((each) => [each.charger_id, each.attributes])).toEqual([[first, attributes]]);
    const all = orThrow(
      await ml.listChargers({ tenantId, sort: '-charger_id', q: first.slice(0, 4).toLowerCase() }),
    );
    expect(all.total).toBe(2);
    const sites = orThrow(await ml.listSites({ tenantId, sort: 'site_id' }));
    expect(sites.items.map((each) => [each.site_id, each.chargers])).toEqual([
      ['S & 1', 1],
      [null, 1],
    ]);
    expect(orThrow(await ml.getCharger(first, { tenantId }))).toMatchObject({
      attributes,
      reading_stale: false,
    });
    expect(await ml.getCharger('never', { tenantId })).toMatchObject({
      status: 'rejected',
      problem: { code: 'unknown_charger' },
    });
  });

  it('lists, corrects and deletes outcomes', async () => {
    const tenantId = newCharger();
    const charger = newCharger();
    const occurred_at = new Date().toISOString();
    const outcome = { charger_id: charger, outcome: 'failed', occurred_at } as const;
    expect(await ml.postOutcome(outcome, { tenantId })).toMatchObject({
      status: 'rejected',
      problem: { status: 404, code: 'unknown_charger' },
    });
    orThrow(await ml.predictFailure(asked(charger), { tenantId }));
    const { outcome_id } = orThrow(await ml.postOutcome(outcome, { tenantId }));
    const corrected = orThrow(await ml.correctOutcome(outcome_id, { outcome: 'repaired' }, { tenantId }));
    expect(corrected).toMatchObject({ outcome_id, outcome: 'repaired' });
    const page = orThrow(await ml.listOutcomes({ tenantId, chargerId: charger }));
    expect(page).toMatchObject({ items: [corrected], next: null, total: 1 });
    expect(orThrow(await ml.listOutcomes({ tenantId, chargerId: 'another' })).items).toEqual([]);
    orThrow(await ml.deleteOutcome(outcome_id, { tenantId }));
    expect(orThrow(await ml.listOutcomes({ tenantId })).items).toEqual([]);
  });

  it('erases a charger and a tenant, with a receipt', async () => {
    const tenantId = newCharger();
    const charger = newCharger();
    orThrow(await ml.predictFailure(asked(charger), { tenantId }));
    const jobs = [await ml.eraseCharger(charger, { tenantId }), await ml.eraseTenant(tenantId, { tenantId })];
    const subjects = await Promise.all(
      jobs.map(orThrow).map(async (job) => {
        await eventually(async () => orThrow(await ml.getJob(job.job_id, { tenantId })).finished_at, 30_000);
        const [row] = orThrow(await ml.getJobResults<'erase'>(job.job_id, { tenantId })).items;
        return row !== undefined && 'subject' in row ? row.subject : row;
      }),
    );
    expect(subjects).toEqual(['charger', 'tenant']);
    expect(orThrow(await ml.listChargers({ tenantId })).items).toEqual([]);
  }, 40_000);

  it('keeps tenants apart', async () => {
    const charger = newCharger();
    const tenant = new MLClientService({ url, apiKey, tenantId: 'acme' });
    expect(orThrow(await tenant.predictFailure(asked(charger))).tenant_id).toBe('acme');
    expect(orThrow(await ml.getCachedPrediction(charger))).toBeNull();
    expect(orThrow(await ml.getCachedPrediction(charger, { tenantId: 'acme' }))?.tenant_id).toBe('acme');
  });

  it('says how the service is', async () => {
    const health = await ml.healthCheck();
    expect(health).toMatchObject({ status: 'healthy', circuit: 'closed', message: null });
    expect(health.service?.checks?.workers?.status).toBe('ok');
  });
});

describe('what the service refuses', () => {
  const ml = new MLClientService({ url, apiKey });

  it('is a typed answer that names the field', async () => {
    const answer = await ml.predictFailure(asked(newCharger(), { temperature: 9_999 }));
    expect(answer).toMatchObject({
      status: 'rejected',
      problem: { status: 422, code: 'invalid_reading', errors: [{ pointer: '/metrics/temperature' }] },
    });
    expect(() => orThrow(answer)).toThrow(MLRequestError);
  });

  it('is an exception where the call asks for exceptions', async () => {
    const wrong = asked(newCharger(), { temperature: 9_999 });
    await expect(ml.predictFailure(wrong, { throwErrors: true })).rejects.toThrow(MLRequestError);
    const throwing = new MLClientService({ url, apiKey, throwErrors: true });
    await expect(throwing.getJob('none')).rejects.toThrow(/unknown_job/);
    expect(await throwing.getJob('none', { throwErrors: false })).toMatchObject({ status: 'rejected' });
  });

  it('is a key without the right or with none', async () => {
    const reader = new MLClientService({ url, apiKey: readKey });
    expect(await reader.predictFailure(asked(newCharger()))).toMatchObject({
      status: 'rejected',
      problem: { status: 403, code: 'forbidden' },
    });
    const stranger = new MLClientService({ url, apiKey: 'nobody' });
    expect(await stranger.listModels()).toMatchObject({ status: 'rejected', problem: { status: 401 } });
  });

  it('is found in the log by the id that the caller gave', async () => {
    const answer = await ml.getJob('none', { requestId: 'order-66' });
    expect(answer).toMatchObject({ requestId: 'order-66', problem: { request_id: 'order-66' } });
  });

  it('is also what cannot even be sent', async () => {
    const answer = await ml.predictFailure(asked(newCharger()), { tenantId: 'line\nbreak' });
    expect(answer).toMatchObject({ status: 'rejected', problem: { code: 'invalid_request' } });
    expect(ml.circuitState).toBe('closed');
  });

  it.each([NaN, Infinity])('is %d, which JSON would turn into a missing number', async (temperature) => {
    const refused = {
      status: 'rejected',
      problem: { detail: expect.stringContaining('temperature') as string },
    };
    expect(await ml.predictFailure(asked(newCharger(), { temperature }))).toMatchObject(refused);
    const chargers = [reading(newCharger(), { temperature })];
    expect(await ml.submitBatch({ chargers })).toMatchObject(refused);
  });

  it('is whatever an untyped caller passes on', async () => {
    const bodies = [undefined, null, {}, { charger_id: 7 }, { charger_id: 'x', metrics: { charger_id: 1n } }];
    for (const body of bodies) {
      expect((await ml.predictFailure(body as never)).status).toBe('rejected');
    }
  });

  it('ends a stream with its reason', async () => {
    const events: JobEvent[] = [];
    for await (const event of ml.streamJob('none')) {
      events.push(event);
    }
    expect(events).toMatchObject([{ type: 'rejected', answer: { problem: { code: 'unknown_job' } } }]);
  });
});
