#!/usr/bin/env node
import { runCli } from '../cli/run-cli.ts';

runCli(process.argv);
