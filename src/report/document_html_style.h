/* DocumentHtmlStyle: the style sheet of the HTML form — light, dark and paper; system fonts, Chinese ones
 * too.
 *
 * It styles the classes that document_html.c and chart.c write, and nothing else. */
#pragma once

extern const char document_html_style[];
