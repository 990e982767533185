import { PathExt } from '@jupyterlab/coreutils';

import type { Kernel } from './tokens';

/** What JupyterLab calls a session while it starts: beside its notebook, by a UUID. */
const STARTS = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/**
 * Whether a kernel is a notebook's (pure).
 *
 * @param id - The kernel that the notebook has; while it has none, its path tells, or its folder
 * where the session has no name yet.
 */
export function isOf(
  kernel: Kernel,
  id: string | undefined,
  path: string
): boolean {
  if (id) {
    return kernel.id === id;
  }
  const said = kernel.notebook;
  return (
    said === path ||
    (STARTS.test(PathExt.basename(said)) &&
      PathExt.dirname(said) === PathExt.dirname(path))
  );
}
