import { Logger } from '@nestjs/common';

// What is logged is looked at where a test is about it.
Logger.overrideLogger(false);
