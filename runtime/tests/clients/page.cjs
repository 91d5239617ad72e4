// The page in a real browser, without a mouse: at the width of a desk and of a phone.
const { chromium } = require("playwright-core");

const [address, token, executablePath, pictures] = process.argv.slice(2);

const focused = (page) =>
  page.evaluate(() => {
    const { tagName, name, id, textContent } = document.activeElement;
    return [tagName.toLowerCase(), name || id || textContent].join(" ");
  });

// The page's policy lets nobody evaluate text in it, so its text is asked for until it is there.
async function until(page, selector, text) {
  for (let tries = 0; tries < 200; tries += 1) {
    if ((await page.textContent(selector)).includes(text)) return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(`${selector} never says ${text}`);
}

async function look(browser, name, viewport, colorScheme) {
  const context = await browser.newContext({ viewport, colorScheme });
  const page = await context.newPage();
  const errors = [];
  page.on("pageerror", (error) => errors.push(error.message));
  await page.goto(address);
  const seen = { name, focus: [] };
  await page.keyboard.press("Tab");
  seen.focus.push(await focused(page));
  await page.keyboard.type("wrong");
  await page.keyboard.press("Enter");
  await until(page, "#message", "not known");
  await page.keyboard.press("Control+A");
  await page.keyboard.type(token);
  await page.keyboard.press("Enter");
  await page.waitForSelector("summary");
  seen.message = await page.textContent("#message");
  for (let presses = 0; presses < 2; presses += 1) {
    await page.keyboard.press("Tab");
    seen.focus.push(await focused(page));
  }
  await page.keyboard.press("Enter");
  await page.keyboard.press("Tab");
  seen.focus.push(await focused(page));
  await page.keyboard.type("7");
  await page.keyboard.press("Enter");
  await until(page, "pre", "200 OK");
  const output = await page.textContent("pre");
  seen.asked = output.split("\n")[0];
  seen.answered = JSON.parse(output.slice(output.indexOf("{"))).data;
  seen.tooWide = await page.evaluate(() => document.documentElement.scrollWidth > window.innerWidth);
  seen.low = await page.evaluate(() =>
    [...document.querySelectorAll("button, input, select, summary")]
      .filter((element) => element.getBoundingClientRect().height < 36)
      .map((element) => element.tagName),
  );
  seen.errors = errors;
  if (pictures) await page.screenshot({ path: `${pictures}/page-${name}.png`, fullPage: true });
  await context.close();
  return seen;
}

// A hundred endpoints are found by a word, and a failure is seen to be one.
async function among(browser) {
  const context = await browser.newContext({ viewport: { width: 375, height: 740 } });
  const page = await context.newPage();
  await page.goto(address);
  await page.keyboard.press("Tab");
  await page.keyboard.type(token);
  await page.keyboard.press("Enter");
  await page.waitForSelector("summary");
  const seen = { all: await page.textContent("#message") };
  await page.keyboard.press("Tab");
  await page.keyboard.press("Tab");
  seen.focus = await focused(page);
  await page.keyboard.type("NOBODY_STOPPED");
  await until(page, "#message", " of ");
  seen.found = await page.textContent("#message");
  await page.keyboard.press("Tab");
  seen.next = await focused(page);
  await page.keyboard.press("Enter");
  await page.keyboard.press("Tab");
  await page.keyboard.press("Enter");
  await until(page, "details[open] pre", "400 Bad Request");
  seen.failed = await page.getAttribute("details[open] pre", "class");
  seen.tooWide = await page.evaluate(() => document.documentElement.scrollWidth > window.innerWidth);
  if (pictures) await page.screenshot({ path: `${pictures}/page-among.png`, fullPage: true });
  await context.close();
  return seen;
}

async function main() {
  const browser = await chromium.launch({ executablePath, args: ["--no-sandbox"] });
  if (process.argv[6] === "many") {
    console.log(JSON.stringify(await among(browser)));
    await browser.close();
    return;
  }
  const seen = [
    await look(browser, "desk", { width: 1280, height: 800 }, "light"),
    await look(browser, "phone", { width: 375, height: 740 }, "dark"),
  ];
  await browser.close();
  console.log(JSON.stringify(seen));
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
