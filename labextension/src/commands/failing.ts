import { showErrorMessage } from '@jupyterlab/apputils';

/** Do something; what is said against it is shown, and the answer is undefined then. */
export async function failing<T>(
  title: string,
  action: () => Promise<T>
): Promise<T | undefined> {
  try {
    return await action();
  } catch (error) {
    await showErrorMessage(
      title,
      error instanceof Error ? error.message : String(error)
    );
    return undefined;
  }
}
