/** The pictures of the users' pages. */
import { FAILING, LOAD, training } from './cells';
import { Lab, expect, test } from './lab';

const LINE = '%%kubetrain python -w 3 --name line -o slope,offset';

/** A notebook with a job that goes on, one that waits for a GPU, and two that have ended. */
async function busy(lab: Lab): Promise<void> {
  await lab.open('line.ipynb', 'python', [
    LOAD,
    `${LINE}\n${training(20, 0.02)}`,
    FAILING,
    `%%kubetrain python -w 6 --gpus 1 --name large --detach\n${training(50)}`,
    `%%kubetrain python -w 1:3 --name growing\n${training(3000, 0.2)}`
  ]);
  for (const cell of [0, 1, 2, 3]) {
    await lab.runWhole(cell);
  }
  await lab.run(4);
  await expect(lab.output(4)).toContainText('epoch 20:');
}

test('sidebar', async ({ lab, page }) => {
  await busy(lab);
  const sidebar = await lab.sidebar();
  await expect(sidebar).toContainText('done');
  await expect(sidebar).toContainText('failed');
  await expect(sidebar).toContainText('waiting');
  await sidebar.getByRole('option', { name: /large-/ }).click();
  await drag(lab, 340);
  await lab.rest();
  await lab.picture('sidebar', sidebar);
  await lab.picture('lab');
  await drag(lab, 60);
  expect(await lab.clipped(sidebar)).toEqual([]);
  await lab.picture('sidebar-narrow', sidebar);
  await drag(lab, 340);
  await lab.command('apputils:change-theme', { theme: 'JupyterLab Dark' });
  await expect(page.locator('body')).toHaveAttribute(
    'data-jp-theme-light',
    'false'
  );
  await expect(page.locator('.jp-mod-splash, #jupyterlab-splash')).toHaveCount(
    0
  );
  await lab.rest();
  await lab.picture('sidebar-dark', sidebar);
  await lab.command('apputils:change-theme', { theme: 'JupyterLab Light' });
  await expect(page.locator('body')).toHaveAttribute(
    'data-jp-theme-light',
    'true'
  );
});

test('ranks that wait, and one that failed', async ({ lab }) => {
  await lab.open('line.ipynb', 'python', [
    LOAD,
    FAILING,
    `%%kubetrain python -w 6 --gpus 1 --name large\n${training(50)}`
  ]);
  await lab.runWhole(0);
  await lab.runWhole(1);
  await lab.rest();
  await lab.partPicture('failure', lab.cell(1));
  await lab.run(2);
  await expect(lab.output(2)).toContainText('Insufficient nvidia.com/gpu');
  await lab.rest();
  await lab.partPicture('waiting', lab.cell(2));
});

test('a kernel that waits', async ({ lab, page }) => {
  await lab.open('line.ipynb', 'python', [
    LOAD,
    `%%kubetrain python -w 4 --gpus 1 --name line --detach\n${training(3000)}`
  ]);
  await lab.runWhole(0);
  await lab.runWhole(1);
  await lab.show('gpu.ipynb', 'gpu', ['print("at last")']);
  await expect(page.locator('.jp-KubeStartup')).toContainText('Insufficient');
  const sidebar = await lab.sidebar();
  await expect(sidebar).toContainText('gpu.ipynb');
  await lab.rest();
  await lab.picture('kernel-waiting');
});

test('forms', async ({ lab, page }) => {
  await lab.open('line.ipynb', 'python', [LOAD, training(50)]);
  await lab.runWhole(0);
  await lab.cell(1).locator('.cm-content').click();
  await lab.command('jupyter-kube:run-cell');
  const dialog = page.locator('.jp-Dialog-content');
  await dialog.getByLabel('Workers', { exact: true }).fill('4');
  await dialog.getByLabel('GPUs').fill('1');
  await expect(dialog.locator('.jp-KubeForm-fit')).not.toBeEmpty();
  expect(await lab.clipped(dialog)).toEqual([]);
  await lab.picture('run-form', dialog);
  await page.keyboard.press('Escape');
  await expect(dialog).toHaveCount(0);
  await lab.command('jupyter-kube:change-profile');
  await dialog.getByLabel('Profile').selectOption('gpu');
  await dialog.getByLabel(/^GPUs/).fill('2');
  await lab.picture('profile-form', dialog);
  await page.keyboard.press('Escape');
});

test('panel', async ({ lab }) => {
  await lab.open('line.ipynb', 'python', [
    LOAD,
    `%%kube panel\n${training(3000, 0.2, 20)}`
  ]);
  await lab.runWhole(0);
  await lab.runWhole(1);
  const panel = lab.output(1);
  await panel.getByLabel('Workers').fill('1:4');
  await panel.getByLabel('Workers').press('Tab');
  await expect(panel).toContainText('-w 1:4');
  await lab.rest();
  await lab.partPicture('panel-form', panel);
  await panel.getByRole('button', { name: 'Run on cluster' }).click();
  await expect(panel).toContainText('epoch 20:');
  await panel.getByText('Run a cell on the cluster').click();
  await panel.getByLabel('Workers at most').first().scrollIntoViewIfNeeded();
  await lab.rest();
  await lab.partPicture('panel', panel);
});

test("a job's tab", async ({ lab, page, cluster }) => {
  await busy(lab);
  await lab.sidebar();
  const jobs = await cluster.list('jobs');
  const growing = jobs.find(job => job.metadata.name.startsWith('growing'))!;
  const name = growing.metadata.name;
  await lab.command('jupyter-kube:open-job', { name });
  const tab = page.locator('.jp-KubeJob:visible');
  await expect(tab).toContainText('epoch 40:');
  await lab.rest();
  expect(await lab.clipped(tab)).toEqual([]);
  await lab.picture('job');
});

/** Draw the sidebar as wide as this, or as wide as it may be. */
async function drag(lab: Lab, to: number): Promise<void> {
  const handle = lab.page.locator(
    '#jp-main-split-panel > .lm-SplitPanel-handle'
  );
  const box = (await handle.first().boundingBox())!;
  const y = box.y + 300;
  await lab.page.mouse.move(box.x + box.width / 2, y);
  await lab.page.mouse.down();
  await lab.page.mouse.move(to, y, { steps: 5 });
  await lab.page.mouse.up();
}
