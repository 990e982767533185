import AxeBuilder from '@axe-core/playwright';
import { expect, test } from '../support/fixtures';
import { FAILING } from '../support/cells';
import { JobTab, Sidebar } from '../support/kube';

for (const theme of ['JupyterLab Light', 'JupyterLab Dark']) {
  test(`axe finds nothing wrong in ${theme}`, async ({
    page,
    cluster,
    openNotebook
  }) => {
    /** What axe finds within, by its rule and by what it looked at. */
    const findings = async (within: string, besides = '.jp-none') => {
      const { violations } = await new AxeBuilder({ page })
        .setLegacyMode() // without another page, which galata would not know
        .include(within)
        .exclude(besides)
        .analyze();
      return violations.flatMap(({ id, nodes }) =>
        nodes.map(({ html, failureSummary }) => [id, html, failureSummary])
      );
    };
    await page.theme.setTheme(theme);
    const story = await openNotebook('cpu', [
      '%load_ext jupyter_kube',
      `%%kubetrain python -w 2 --name bad --detach --retries 0
kube.report(step=1, loss=2.0)
kube.report(step=2, loss=1.0)
${FAILING}`,
      '%kube panel'
    ]);
    await story.ready();
    await story.run(0);
    await story.run(1);
    const sidebar = new Sidebar(page);
    await sidebar.open();
    await sidebar.kernel('story.ipynb').click();
    await sidebar.job('bad').click();
    await expect(sidebar.job('bad')).toContainText('2 of 2 up');
    expect.soft(await findings('#jupyter-kube-sidebar')).toEqual([]);

    await sidebar.job('bad').dblclick();
    const tab = new JobTab(page);
    await expect(tab.lines).toContainText('[1] begun');
    await expect(tab.curve('loss')).toBeVisible();
    expect.soft(await findings('.jp-KubeJob')).toEqual([]);
    const name = (await tab.node.getByRole('heading').textContent())!;
    await cluster.finish(name);
    await expect(tab.phase).toContainText('failed');
    await tab.why.getByText('Traceback of rank 1').click();
    expect.soft(await findings('.jp-KubeJob')).toEqual([]);
    expect.soft(await findings('#jupyter-kube-sidebar')).toEqual([]);

    await page.activity.activateTab('story.ipynb');
    await story
      .cell(1)
      .locator('[data-command="jupyter-kube:run-cell"]')
      .click();
    const form = page.getByRole('dialog');
    await form.getByLabel('Workers', { exact: true }).fill('4:2');
    await form.getByRole('button', { name: 'Run' }).click();
    await expect(form).toContainText('Nothing was run');
    // Below "More", which is open as the cell's line has options of it.
    await expect(form.getByLabel('Name', { exact: true })).toBeVisible();
    expect.soft(await findings('.jp-Dialog')).toEqual([]);
    await form.getByRole('button', { name: 'Cancel' }).click();

    await page.locator('[data-command="jupyter-kube:change-profile"]').click();
    await form.getByLabel('Profile').selectOption('One GPU');
    await form.getByLabel('GPUs').fill('100');
    expect.soft(await findings('.jp-Dialog')).toEqual([]);
    await form.getByRole('button', { name: 'Cancel' }).click();

    await story.write(2, `%kube panel ${name}`);
    await story.run(2);
    await expect(story.output(2)).toContainText('no such digit');
    await story.output(2).getByText('Run a cell on the cluster').click();
    expect
      .soft(await findings('.jp-Cell-outputWrapper', '.noUi-handle'))
      .toEqual([]);
  });
}
