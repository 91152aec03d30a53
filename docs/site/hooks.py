"""Fits pages that are written for a repository to a site: navigation, links to folders, tabs, screenshots."""

import os
import posixpath
import re

LINK = re.compile(r"(?<!!)\[([^\]\[]*)\]\(([^)\s#]+)(#[^)\s]*)?\)")
TABS = re.compile(r"<!-- tabs -->\n(.*?)<!-- /tabs -->\n", re.S)
CODE = re.compile(r"(^```.*?^```$|`[^`\n]*`)", re.S | re.M)


def on_config(config):
    """The navigation is the tables of docs/README.md, by their headings."""
    with open(os.path.join(config.docs_dir, "docs/README.md")) as file:
        sections = file.read().split("\n## ")[1:]
    config.nav = [{"Waybill": "README.md"}]
    for section in sections:
        title, _, text = section.partition("\n")
        pages, seen = [], set()
        for label, target, _ in LINK.findall("\n".join(row.split(" | ")[0] for row in text.splitlines() if row.startswith("| ["))):
            page = posixpath.normpath(posixpath.join("docs", target))
            if page.endswith(".md") and page not in seen:
                seen.add(page)
                pages.append({label: page})
        config.nav.append({title: pages})
    config.nav.append({"Project": ["CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md"]})
    return config


def on_page_markdown(markdown, page, config, files):
    markdown = TABS.sub(tabs, markdown)
    folder = posixpath.dirname(page.file.src_uri)

    def link(match):
        text, target, fragment = match.groups()
        path = os.path.join(config.docs_dir, folder, target)
        if ":" in target or not os.path.isdir(path):
            return match.group(0)
        if os.path.exists(os.path.join(path, "README.md")):
            return "[%s](%s)" % (text, posixpath.join(target, "README.md"))
        return text  # a folder is no page

    parts = CODE.split(markdown)
    markdown = "".join(part if i % 2 else LINK.sub(link, part) for i, part in enumerate(parts))
    if page.file.src_uri == "docs/serve.md":
        markdown += screenshots(config)
    return markdown


def tabs(match):
    """**Name** and what follows, up to the next, becomes a tab."""
    out = ""
    for name, text in re.findall(r"^\*\*(.+?)\*\*\n(.*?)(?=^\*\*|\Z)", match.group(1), re.S | re.M):
        out += '=== "%s"\n\n%s\n\n' % (name, re.sub(r"^(?=.)", "    ", text.strip("\n"), flags=re.M))
    return out


def screenshots(config):
    folder = os.path.join(config.docs_dir, "screenshots")
    names = sorted(os.listdir(folder)) if os.path.isdir(folder) else []
    return "".join("\n\n![%s](../screenshots/%s)" % (os.path.splitext(name)[0].replace("-", " "), name) for name in names)
