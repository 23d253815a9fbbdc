/** Text from outside where no markup can hold it: titles, descriptions, badges, calendars. */

// Marks that say a direction for one place (as in Arabic names) stay; those that turn all that follows around go.
const OVERRIDES = /[\u202a-\u202e\u2066-\u2069]/g;
// biome-ignore lint/suspicious/noControlCharactersInRegex: line ends of all kinds are among these.
const CONTROLS = /[\s\u0000-\u001f\u007f-\u009f]+/g;

/** On one line, with nothing in it that turns around what stands after it. */
export function oneLine(text: string): string {
  return text.replace(OVERRIDES, "").replace(CONTROLS, " ").trim();
}

/** At most so many UTF-16 units, with an ellipsis where something is left out; no character is cut in two. */
export function cutTo(text: string, lengthMax: number): string {
  return text.length <= lengthMax ? text : `${wholeCharacters(text, lengthMax - 1).trimEnd()}…`;
}

/** The first units of a text, without half a character at the end. */
export function wholeCharacters(text: string, length: number): string {
  const cut = text.slice(0, length);
  return /[\ud800-\udbff]$/.test(cut) ? cut.slice(0, -1) : cut;
}
