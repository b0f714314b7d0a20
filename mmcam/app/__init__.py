"""The web demo: pages for a class, a caption, an answer and the units behind them.

What a form asks and how that is shown is worked out without Gradio (`settings`, `asking`, `shown`, `taking`); `page`
and `launch` put it on a page, and they alone import it.
"""
