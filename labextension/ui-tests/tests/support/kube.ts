import type { IJupyterLabPageFixture } from '@jupyterlab/galata';
import type { Locator } from '@playwright/test';

/** The sidebar with the cluster, kernels and jobs. */
export class Sidebar {
  constructor(readonly page: IJupyterLabPageFixture) {}

  get node(): Locator {
    return this.page.locator('#jupyter-kube-sidebar');
  }

  get cluster(): Locator {
    return this.node.getByRole('group', { name: 'Cluster' });
  }

  /** Bring it to the front, as a user does. */
  async open(): Promise<void> {
    if (!(await this.node.isVisible())) {
      await this.page
        .getByRole('tab', { name: 'Kubernetes: kernels and jobs' })
        .click();
    }
  }

  /** A kernel's row, by its notebook's name. */
  kernel(name: string | RegExp): Locator {
    return this.node
      .getByRole('listbox', { name: 'My kernels' })
      .getByRole('option')
      .filter({ hasText: name });
  }

  /** A job's row, by the beginning of its name. */
  job(name: string | RegExp): Locator {
    return this.node
      .getByRole('listbox', { name: 'My jobs' })
      .getByRole('option')
      .filter({ hasText: name });
  }

  /** A button for what is chosen; of buttons with the same word the last, which is the jobs'. */
  button(name: string): Locator {
    return this.node.getByRole('button', { name, exact: true }).last();
  }

  async newKernel(profile: string): Promise<void> {
    await this.button('New kernel').click();
    await this.page.getByRole('menuitem', { name: profile }).click();
  }
}

/** The tab of a job that is to be seen. */
export class JobTab {
  constructor(readonly page: IJupyterLabPageFixture) {}

  get node(): Locator {
    return this.page.locator('.jp-KubeJob:visible');
  }

  get phase(): Locator {
    return this.node.locator('.jp-KubeJob-header').getByRole('status');
  }

  get ranks(): Locator {
    return this.node
      .getByRole('list', { name: 'Ranks', exact: true })
      .getByRole('listitem');
  }

  get lines(): Locator {
    return this.node.getByRole('log');
  }

  /** Which rank's lines are shown. */
  get rank(): Locator {
    return this.node.getByRole('combobox');
  }

  get search(): Locator {
    return this.node.getByRole('searchbox');
  }

  /** How many lines are found. */
  get count(): Locator {
    return this.node.locator('.jp-KubeJob-logCount');
  }

  /** How many lines are not shown. */
  get missing(): Locator {
    return this.node.locator('.jp-KubeJob-logMissing');
  }

  get why(): Locator {
    return this.node.getByRole('region', { name: 'Why' });
  }

  curve(metric: string): Locator {
    return this.node.getByRole('img', {
      name: new RegExp(`^${metric}, rank 0`)
    });
  }

  button(name: string): Locator {
    return this.node.getByRole('button', { name, exact: true });
  }

  async close(): Promise<void> {
    await this.page
      .locator(
        '.lm-TabBar-tab.jp-mod-current:has([data-icon="jupyter-kube:icon"]) .lm-TabBar-tabCloseIcon'
      )
      .click();
  }
}

/** The notifications that are to be seen. */
export function notices(page: IJupyterLabPageFixture): Locator {
  return page.locator('.Toastify__toast');
}

/** All that was said in notifications, also where its time is over. */
export async function said(page: IJupyterLabPageFixture): Promise<string[]> {
  return (await page.notifications).map(({ message }) => message);
}

/** Choose in a dialog. */
export async function answer(
  page: IJupyterLabPageFixture,
  title: RegExp,
  button: string
): Promise<void> {
  const dialog = page.getByRole('dialog').filter({ hasText: title });
  await dialog.getByRole('button', { name: button, exact: true }).click();
  await dialog.waitFor({ state: 'detached' });
}
