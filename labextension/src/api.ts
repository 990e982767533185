/**
 * The REST API: one function an endpoint, with the types of openapi.yaml.
 */
import { URLExt } from '@jupyterlab/coreutils';
import { ServerConnection } from '@jupyterlab/services';

import type { paths } from './openapi';
import type { Fit, JobDetail, Profiles, Trouble, Why } from './tokens';

const NAMESPACE = 'jupyter-kube';

/** A refusal or failure: what, why and what next, as the server says it. */
export class ApiError extends Error {
  constructor(
    readonly status: number,
    readonly trouble: Trouble
  ) {
    super(trouble.message);
    this.name = 'ApiError';
  }
}

type Settings = ServerConnection.ISettings;

/** What there is to choose. */
export async function getProfiles(settings: Settings): Promise<Profiles> {
  return ask(settings, 'GET', at('/profiles'));
}

/** How many workers of a size have room now; what is empty is as the profile says. */
export async function getFit(
  settings: Settings,
  size: {
    profile: string;
    workers: number;
    gpus: string;
    cpu: string;
    memory: string;
  }
): Promise<Fit> {
  const said = Object.entries(size).filter(([, value]) => value !== '');
  const query = URLExt.objectToQueryString(Object.fromEntries(said));
  return ask(settings, 'GET', at('/fit') + query);
}

/** What a job waits for, or why it ended, and what to do. */
export async function getWhy(settings: Settings, name: string): Promise<Why> {
  return ask(settings, 'GET', at('/jobs/{name}/why', { name }));
}

/** End a kernel that another server started. */
export async function stopKernel(
  settings: Settings,
  id: string
): Promise<void> {
  return ask(settings, 'DELETE', at('/kernels/{id}', { id }));
}

/** Change how many workers an elastic job has at most. */
export async function scaleJob(
  settings: Settings,
  name: string,
  workers: number
): Promise<JobDetail> {
  return ask(settings, 'PATCH', at('/jobs/{name}', { name }), {
    body: JSON.stringify({ workers }),
    headers: { 'Content-Type': 'application/json' }
  });
}

/** Stop a job and remove all of it. */
export async function killJob(settings: Settings, name: string): Promise<void> {
  return ask(settings, 'DELETE', at('/jobs/{name}', { name }));
}

/**
 * Create a job that is the same as an earlier one.
 *
 * @param key one for each job that is wanted: asked again with it, the answer is the same job
 */
export async function rerunJob(
  settings: Settings,
  name: string,
  key: string
): Promise<JobDetail> {
  const headers = { 'Idempotency-Key': key };
  return ask(settings, 'POST', at('/jobs/{name}/rerun', { name }), { headers });
}

/** The address of a websocket of ours, with the token where that has to be in it. */
export function socketUrl(settings: Settings, path: string): string {
  const url = URLExt.join(settings.wsUrl, NAMESPACE, path);
  return settings.appendToken && settings.token
    ? url + URLExt.objectToQueryString({ token: settings.token })
    : url;
}

/** The websocket of the live view. */
export const livePath = at('/live');

/** The websocket with a job's state, lines and reports. */
export const logsPath = (name: string): string =>
  at('/jobs/{name}/logs', { name });

/** Fill in a path of openapi.yaml; only those that are there compile. */
function at(path: keyof paths, names: Record<string, string> = {}): string {
  return path
    .slice(1)
    .replace(/{(\w+)}/g, (_, name) => encodeURIComponent(names[name]));
}

async function ask<T>(
  settings: Settings,
  method: string,
  path: string,
  init: RequestInit = {}
): Promise<T> {
  const url = URLExt.join(settings.baseUrl, NAMESPACE, path);
  const response = await ServerConnection.makeRequest(
    url,
    { ...init, method },
    settings
  );
  const text = await response.text();
  if (!response.ok) {
    throw new ApiError(response.status, troubleOf(text, response));
  }
  return text ? JSON.parse(text) : undefined;
}

/** Read a refusal; a proxy's or Jupyter's own has other words, and perhaps no JSON. */
function troubleOf(text: string, response: Response): Trouble {
  const status = `${response.status} ${response.statusText}`.trim();
  const none: Trouble = {
    message: `The server answered: ${status}`,
    what: '',
    why: '',
    next: '',
    object: ''
  };
  try {
    const { message, what, why, next, object } = JSON.parse(text);
    return {
      message: message || none.message,
      what: what ?? '',
      why: why ?? '',
      next: next ?? '',
      object: object ?? ''
    };
  } catch {
    return none;
  }
}
