import type { Kernel } from './tokens';

/**
 * Whether a kernel is a notebook's (pure).
 *
 * @param id - The kernel that the notebook has; while it has none, its path tells.
 */
export function isOf(
  kernel: Kernel,
  id: string | undefined,
  path: string
): boolean {
  return id ? kernel.id === id : kernel.notebook === path;
}
