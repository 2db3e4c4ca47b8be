import { Body, Controller, Get, Header, HttpCode, Inject, Post } from '@nestjs/common';
import { MLClientService, type PredictionRequest } from '../src';
import { fleetPage } from './fleet.page';

/** One screen: the fleet by risk, and a form that scores a charger. It is there whatever the service does. */
@Controller()
export class FleetController {
  constructor(@Inject(MLClientService) private readonly ml: MLClientService) {}

  @Get()
  @Header('Content-Type', 'text/html; charset=utf-8')
  async fleet(): Promise<string> {
    const [health, fleet] = await Promise.all([this.ml.healthCheck(), this.ml.listChargers({ limit: 50 })]);
    return fleetPage({ health, fleet });
  }

  @Post('score')
  @HttpCode(200)
  @Header('Content-Type', 'text/html; charset=utf-8')
  async score(@Body() form: Record<string, string>): Promise<string> {
    const scored = await this.ml.predictFailure(requestOf(form));
    const [health, fleet] = await Promise.all([this.ml.healthCheck(), this.ml.listChargers({ limit: 50 })]);
    return fleetPage({ health, fleet, scored });
  }
}

/** What was typed, as it was typed: the service is the judge of it. An empty field is a missing one. */
function requestOf(form: Record<string, string>): PredictionRequest {
  const charger_id = form.charger_id ?? '';
  const number = (text = '') => (text.trim() === '' ? null : Number(text));
  return {
    charger_id,
    metrics: {
      charger_id,
      connector_status: form.connector_status as PredictionRequest['metrics']['connector_status'],
      temperature: number(form.temperature),
      power: number(form.power),
      error_codes: (form.error_codes ?? '').split(/[\s,;]+/).filter((code) => code !== ''),
    },
  };
}
